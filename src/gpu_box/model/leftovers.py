"""The findings of `sweep`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

GLOBAL = "global"  # the region of IAM roles


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One resource in the account. `box` and `owner` are "" if gpu-box did not create it."""

    kind: str  # EC2's name: "instance", "volume", "security group"
    id: str
    region: str
    box: str = ""
    owner: str = ""
    state: str = ""
    since: datetime | None = None  # aware: its last start or its creation
    usd_month: Decimal | None = Decimal(0)  # at its present state; None: unknown
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Unread:
    """A region that could not be checked, and why."""

    region: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Swept:
    regions: tuple[str, ...]
    found: tuple[Leftover, ...]
    usd_month: Decimal
    unread: tuple[Unread, ...]

    def mine(self, owner: str, box: str | None = None) -> tuple[Leftover, ...]:
        """This owner's resources of gpu-box, which `sweep --remove` removes: of one box or of all.

        An unknown owner counts as another owner. A region's role is included if no other box there needs it.
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
