"""PURE: the owner of a box: a name belongs to one owner per account and region."""

from __future__ import annotations

from typing import Protocol

from gpu_box.errors import CloudError
from gpu_box.model.observed import Observed


class _Tagged(Protocol):
    @property
    def owner(self) -> str: ...


class AnothersBox(CloudError):
    """The box belongs to another owner. Nothing was changed."""


def other_owner(observed: Observed, me: str) -> str:
    """The other owner of a box with this name, or "".

    me: as in the tag `gpu-box:owner`.
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
    """Raises AnothersBox. me: as in the tag `gpu-box:owner`."""
    if owner := other_owner(observed, me):
        raise anothers_box(owner, name=name, region=observed.region)


def anothers_box(owner: str, *, name: str, region: str) -> AnothersBox:
    return AnothersBox(
        f"{owner} has a box named {name} here: nothing was changed",
        where=region,
        remedy=f"Set another `name:` in config.yaml, or `owner: {owner}` if that is you; "
        "`stop`, `down` and `resize` take --force.",
    )
