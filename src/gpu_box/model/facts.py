"""The facts that a plan for `up` is decided from: planning does no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gpu_box.model.observed import Launch, Launchable, Observed
from gpu_box.model.spending import Rates


@dataclass(frozen=True, kw_only=True)
class Facts:
    observed: Observed
    public_key: str  # the user's key, as an OpenSSH line
    rates: Rates | None  # of the instance, or of the type tried first; None: unknown
    now: datetime  # aware
    # Both None if there is an instance.
    launch: Launch | None = None
    launchable: Launchable | None = None
