"""This cloud's additions to moto's record of an instance. Pickled with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass
class Extra:
    """boots: counts starts and reboots. The machine of an earlier boot is replaced."""

    public_key: str = ""  # of the key pair; EC2 reads the pair at launch only
    boots: int = 1
    port: int = 0  # at which its machine last answered
    has_run: bool = False
    due: datetime | None = None  # when its present state ends, aware UTC; None if it lasts
    reason: str = ""  # StateTransitionReason and StateReason of the next state
    code: str = ""
    message: str = ""
    ended: datetime | None = None  # when it was terminated
    spot_request_id: str = ""
    noticed: datetime | None = None  # when this boot of a spot instance got its interruption notice,
    taken: datetime | None = None  # and when AWS interrupts it
    changed: datetime | None = None  # when it reached its present state
    post_due: datetime | None = None  # when AWS posts its console
    posted: bytes = b""  # the console as last posted,
    posted_at: datetime | None = None  # and when

    def __setstate__(self, saved: dict[str, Any]) -> None:
        """Use the defaults for attributes that a state saved by an older version lacks."""
        self.__dict__ = Extra().__dict__ | saved


def extra(instance: Any) -> Extra:
    if not hasattr(instance, "embedded"):
        instance.embedded = Extra()
    found: Extra = instance.embedded
    return found


def now() -> datetime:
    return datetime.now(UTC)
