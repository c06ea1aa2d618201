"""How long AWS takes: seconds of each delay, in two profiles.

`quick` is for trying gpu-box and for most tests. `real` has AWS's documented and measured times; a test runs
it `faster` times as fast, with every delay.
"""

from __future__ import annotations

DAY_S = 86_400.0

QUICK = {
    "visible": 0.0,
    "pending": 0.5,
    "stopping": 0.5,
    "shutting-down": 0.5,
    "image": 0.5,
    "modifying": 0.0,
    "optimizing": 0.0,
    "iam": 0.3,
    "spot-relaunch": 1.0,
    "spot-follows": 0.0,
    "console": 0.0,
    "console-kept": 3600.0,
    "token-kept": DAY_S,
}
REAL = {
    # Until other calls see a new resource: EC2 Developer Guide, "Eventual consistency".
    "visible": 2.0,
    "pending": 20.0,
    "stopping": 60.0,
    "shutting-down": 30.0,
    "image": 120.0,  # from CreateImage until it is available
    # From ModifyVolume: size changes take effect within "a few seconds"; a full volume of 1 TiB is optimized
    # for "about 6 hours", a small one for minutes (EBS User Guide).
    "modifying": 5.0,
    "optimizing": 600.0,
    # Until other services may assume a new role, or see a new instance profile.
    "iam": 12.0,
    "spot-relaunch": 60.0,  # until a persistent spot request launches, or starts, again
    # From the stop of a spot instance by its user until its request is `disabled`; before that it cannot be
    # started: github.com/hashicorp/terraform-provider-aws/issues/33399.
    "spot-follows": 60.0,
    # From a change of state until the buffered console output shows it: up to 20 minutes by
    # github.com/canonical/pycloudlib/pull/193. "Available for at least one hour": GetConsoleOutput.
    "console": 1200.0,
    "console-kept": 3600.0,
    # "Valid for at least 24 hours after the termination of the instance": AWS's text, quoted in
    # github.com/ansible/ansible/pull/4033.
    "token-kept": DAY_S,
}
PROFILES = {"quick": QUICK, "real": REAL}


def profile(name: str, *, faster: float = 1.0) -> dict[str, float]:
    """The profile's delays, divided by `faster`. ValueError for an unknown name or a factor below 1."""
    if name not in PROFILES:
        raise ValueError(f"unknown timing {name!r}: {' or '.join(PROFILES)}")
    if not faster >= 1:
        raise ValueError(f"faster is {faster}: 1 or more")
    return {delay: seconds / faster for delay, seconds in PROFILES[name].items()}
