"""Whose box it is: in one account and region a name belongs to one owner. Pure."""

from __future__ import annotations

from gpu_box.errors import CloudError
from gpu_box.model.observed import Observed


class AnothersBox(CloudError):
    """The box of this name is somebody else's, and nothing was changed."""


def other_owner(observed: Observed, me: str) -> str:
    """Who has a box of this name, if it is not `me`; "" if it is, or if no tag says.

    me: as the tag `gpu-box:owner` says it.
    """
    owners = [instance.owner for instance in observed.live]
    owners += [observed.group.owner] if observed.group else []
    return next((owner for owner in owners if owner not in ("", me)), "")


def require_mine(observed: Observed, me: str, *, name: str) -> None:
    """Raises AnothersBox. me: as the tag `gpu-box:owner` says it."""
    if owner := other_owner(observed, me):
        raise AnothersBox(
            f"{owner} has a box named {name} here: nothing was changed",
            where=observed.region,
            remedy=f"Set another `name:` in config.yaml, or `owner: {owner}` if that is you; "
            "`stop`, `down` and `resize` ask with --force.",
        )
