"""What this cloud knows of an instance beyond moto's own record. Pickled with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass
class Extra:
    """boots counts starts and reboots: a machine of an earlier boot is to be replaced."""

    public_key: str = ""  # of the key pair, kept at launch: EC2 does not need the key pair afterwards
    boots: int = 1
    port: int = 0  # where its machine last answered
    has_run: bool = False
    due: datetime | None = None  # when the state that it is in ends, aware UTC; None for a lasting one
    reason: str = ""  # StateTransitionReason and StateReason of the state that it is going to
    code: str = ""
    message: str = ""
    ended: datetime | None = None  # when it was terminated
    spot_request_id: str = ""
    noticed: datetime | None = None  # when this boot of a spot instance was told that AWS wants it back,
    taken: datetime | None = None  # and when AWS takes it
    changed: datetime | None = None  # when it reached the state that it is in
    post_due: datetime | None = None  # when AWS posts its console
    posted: bytes = b""  # the console as last posted,
    posted_at: datetime | None = None  # and when

    def __setstate__(self, saved: dict[str, Any]) -> None:
        """What a state of an older version lacks is as at first."""
        self.__dict__ = Extra().__dict__ | saved


def extra(instance: Any) -> Extra:
    if not hasattr(instance, "embedded"):
        instance.embedded = Extra()
    found: Extra = instance.embedded
    return found


def now() -> datetime:
    return datetime.now(UTC)
