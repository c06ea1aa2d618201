"""What `sweep` finds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

GLOBAL = "global"  # where IAM's roles are


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One thing in the account. `box` and `owner` are "" where it is not gpu-box's."""

    kind: str  # in EC2's words: "instance", "volume", "security group"
    id: str
    region: str
    box: str = ""
    owner: str = ""
    state: str = ""
    since: datetime | None = None  # aware: of its last start, or of when it was made
    usd_month: Decimal | None = Decimal(0)  # as it is now; None: not known
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Unread:
    """Where nothing can be said, and why."""

    region: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Sweep:
    regions: tuple[str, ...]
    found: tuple[Leftover, ...]
    unread: tuple[Unread, ...]

    @property
    def usd_month(self) -> Decimal:
        return sum((one.usd_month or Decimal(0) for one in self.found), Decimal(0))

    def mine(self, owner: str, box: str | None = None) -> tuple[Leftover, ...]:
        """What may be removed: gpu-box's and this owner's, for an account has many; of one box or of all."""
        return tuple(
            one for one in self.found if one.box and one.owner in (owner, "") and box in (None, one.box)
        )
