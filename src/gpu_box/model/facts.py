"""What a plan for `up` is decided from, gathered before it: a plan does no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gpu_box.model.observed import Launch, Launchable, Observed
from gpu_box.model.spending import Rates


@dataclass(frozen=True, kw_only=True)
class Facts:
    observed: Observed
    public_key: str  # OpenSSH line of the user's key, with which the machine is entered
    rates: Rates | None  # of the instance, or of the type that would be tried first; None: not known
    now: datetime  # aware
    # Both None if there is an instance.
    launch: Launch | None = None
    launchable: Launchable | None = None
