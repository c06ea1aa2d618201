"""What `sweep` finds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

GLOBAL = "global"  # where IAM lists its roles


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
class Swept:
    regions: tuple[str, ...]
    found: tuple[Leftover, ...]
    usd_month: Decimal
    unread: tuple[Unread, ...]

    def mine(self, owner: str, box: str | None = None) -> tuple[Leftover, ...]:
        """What may be removed: gpu-box's and this owner's, for an account has many; of one box or of all.

        An unknown owner is somebody else. A region's role goes with the last box there.
        """
        own = [one for one in self.found if one.box and one.owner == owner and box in (None, one.box)]
        others = [one for one in self.found if one.box and one not in own]
        used = {one.region for one in others if one.kind in ("instance", "schedule")}
        used |= {one.region for one in self.unread}
        roles = [one for one in self.found if one.kind == "role" and one.region not in used]
        return (*own, *roles) if own or box is None else ()


@dataclass(frozen=True, kw_only=True)
class Removed:
    removed: tuple[Leftover, ...]
    left: tuple[Leftover, ...]
    unread: tuple[Unread, ...]
