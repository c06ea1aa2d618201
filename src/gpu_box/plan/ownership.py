"""Whose box it is: in one account and region a name belongs to one owner. Pure."""

from __future__ import annotations

from typing import Protocol

from gpu_box.errors import CloudError
from gpu_box.model.observed import Observed


class _Tagged(Protocol):
    @property
    def owner(self) -> str: ...


class AnothersBox(CloudError):
    """The box of this name is somebody else's, and nothing was changed."""


def other_owner(observed: Observed, me: str) -> str:
    """Who has a box of this name, if it is not `me`; "" if it is, or if no tag says.

    me: as the tag `gpu-box:owner` says it.
    """
    tagged: tuple[_Tagged, ...] = (
        *observed.live,
        *observed.volumes,
        *observed.images,
        *observed.snapshots,
        *observed.spot_requests,
        *([observed.group] if observed.group else []),
        *([observed.key_pair] if observed.key_pair else []),
    )
    return next((one.owner for one in tagged if one.owner not in ("", me)), "")


def require_mine(observed: Observed, me: str, *, name: str) -> None:
    """Raises AnothersBox. me: as the tag `gpu-box:owner` says it."""
    if owner := other_owner(observed, me):
        raise anothers_box(owner, name=name, region=observed.region)


def anothers_box(owner: str, *, name: str, region: str) -> AnothersBox:
    return AnothersBox(
        f"{owner} has a box named {name} here: nothing was changed",
        where=region,
        remedy=f"Set another `name:` in config.yaml, or `owner: {owner}` if that is you; "
        "`stop`, `down` and `resize` ask with --force.",
    )
