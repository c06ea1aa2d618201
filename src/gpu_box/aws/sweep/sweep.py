"""All enabled regions in parallel: list resources, add up their cost, and remove ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from gpu_box.aws import tags
from gpu_box.aws.client import Cloud
from gpu_box.aws.errors import translated
from gpu_box.aws.sweep.leftovers import read_region, read_roles
from gpu_box.aws.sweep.removal import remove_region
from gpu_box.errors import CloudError
from gpu_box.model.leftovers import GLOBAL, Leftover, Removed, Swept, Unread
from gpu_box.model.progress import Reporter


def sweep(cloud: Cloud, *, everything: bool, report: Reporter) -> Swept:
    """everything: also what gpu-box did not create. Raises CloudError if the regions cannot be listed."""
    report.start("sweep", "listing the regions")
    regions, now = enabled_regions(cloud), datetime.now(UTC)
    report.update("sweep", f"reading {len(regions)} regions")
    read = [
        partial(read_region, cloud.elsewhere(region), everything=everything, now=now) for region in regions
    ]
    answers = _at_once([*read, lambda: read_roles(cloud, regions)])
    found: list[Leftover] = []
    unread: list[Unread] = []
    for region, answer in zip([*regions, GLOBAL], answers, strict=True):
        if isinstance(answer, CloudError):
            unread.append(Unread(region=region, why=str(answer)))
        else:
            found += answer
    report.done("sweep", f"read {len(regions)} regions: {len(found)} found")
    return Swept(
        regions=tuple(regions),
        found=tuple(_with_owners(found)),
        usd_month=sum((one.usd_month or Decimal(0) for one in found), Decimal(0)),
        unread=tuple(unread),
    )


def enabled_regions(cloud: Cloud) -> list[str]:
    with translated("listing regions"):
        regions = cloud.ec2.describe_regions()["Regions"]  # only enabled ones, without AllRegions
    return sorted(region["RegionName"] for region in regions)


def remove(
    cloud: Cloud, leftovers: Sequence[Leftover], *, report: Reporter, box: str | None = None
) -> Removed:
    """Remove them, all regions in parallel, then sweep again. Can be run again at any point.

    box: only this one, not all of the user's.
    """
    report.start("remove", f"removing {len(leftovers)}; terminating an instance takes minutes")
    regions = sorted({one.region for one in leftovers})
    by_region = {r: [one for one in leftovers if one.region == r] for r in regions}
    answers = _at_once([partial(remove_region, cloud.elsewhere(r), there) for r, there in by_region.items()])
    report.done("remove", f"asked AWS to remove {len(leftovers)}")
    failed = [
        Unread(region=region, why=str(answer))
        for region, answer in zip(regions, answers, strict=True)
        if isinstance(answer, CloudError)
    ]
    after = sweep(cloud, everything=False, report=report)
    left = after.mine(tags.owner_tag(cloud.config), box)
    removed = tuple(one for one in leftovers if one not in left)
    return Removed(removed=removed, left=left, unread=(*failed, *after.unread))


def _at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """One thread each, because they wait for answers. A CloudError is returned as the answer."""

    def answer(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except CloudError as error:
            return error

    if not calls:
        return []
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        return list(pool.map(answer, calls))


def _with_owners(found: Iterable[Leftover]) -> Iterable[Leftover]:
    """Give a schedule without an owner, made by hand, the owner of the box in its region."""
    found = list(found)
    owners = {(one.region, one.box): one.owner for one in found if one.box and one.owner}
    return (replace(one, owner=one.owner or owners.get((one.region, one.box), "")) for one in found)
