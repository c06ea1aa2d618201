"""The offers of `init`: regions and instance types with their prices, and the account's quota.

Nothing here fails: on a first day without credentials, the offers say so instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import ROUND_UP, Decimal
from functools import partial
from pathlib import Path

from gpu_box.aws import instance_types
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.doctor import check_caller, check_quota
from gpu_box.aws.prices.prices import price_of, read_price
from gpu_box.aws.quotas import read_quotas
from gpu_box.config.model import Config
from gpu_box.config.write import Answers, budget_of, max_hours_of
from gpu_box.errors import CloudError, GpuBoxError
from gpu_box.model.check import Check
from gpu_box.model.price import Price
from gpu_box.plan import fit

USUAL_TYPES = ("g4dn.xlarge", "g6.xlarge", "g5.xlarge", "g6e.xlarge")
_USUAL_REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1")
# The budget proposed is at least this much and lasts for at least ten evenings.
_LEAST_HOURS, _LEAST_BUDGET, _ROUND = 40, Decimal(50), Decimal(10)


@dataclass(frozen=True)
class Account:
    """The caller's account in one region."""

    cloud: Cloud
    wrong: tuple[Check, ...]  # problems with credentials or clock; empty: AWS answers

    def elsewhere(self, region: str) -> Account:
        """Raises InputError if AWS has no such region."""
        return self if region == self.cloud.region else Account(_known(self.cloud, region), self.wrong)

    def price(self, instance_type: str, region: str = "") -> Price:
        there = self.cloud.elsewhere(region or self.cloud.region)
        if self.wrong:  # do not ask AWS again
            return price_of(instance_type, there.region, there.config.disk)
        return read_price(there, instance_type)


def _known(cloud: Cloud, region: str) -> Cloud:
    """Raises InputError if AWS has no such region."""
    cloud = cloud.sharing(Config(region=region))
    assert cloud.region == region
    return cloud


def account(cloud: Cloud) -> Account:
    """Raises InputError if AWS has no such region."""
    assert cloud.region
    try:
        caller = check_caller(cloud, brisk=True)
    except CloudError as error:
        caller = [Check.failed("credentials", error)]
    return Account(cloud, tuple(check for check in caller if not check.ok))


def regions(account: Account, instance_type: str) -> dict[str, Price]:
    """The usual regions and the account's own, with the type's price there, if prices are available."""
    if account.wrong:
        return {}
    names = list(dict.fromkeys([account.cloud.region, *_USUAL_REGIONS]))
    prices = side_by_side(*(partial(account.price, instance_type, name) for name in names))
    return dict(zip(names, prices, strict=True))


def types(account: Account) -> dict[str, Price]:
    prices = side_by_side(*(partial(account.price, name) for name in USUAL_TYPES))
    return dict(zip(USUAL_TYPES, prices, strict=True))


def require_type(account: Account, instance_type: str) -> None:
    """Raise InputError if AWS does not offer the type in the region, or the images have no driver for it.

    Without an answer from AWS nothing is refused: `up` asks again.
    """
    if account.wrong:
        return
    cloud = account.cloud
    try:
        offered = instance_types.is_offered(cloud, instance_type)
        hardware = instance_types.read_hardware(cloud, [instance_type])
    except CloudError:
        return
    if not offered:
        raise instance_types.unknown(cloud.region, instance_type, where="instance type")
    if instance_type in hardware:
        fit.refuse_unfit(
            hardware[instance_type], architecture="x86_64", own_image=False, where="instance type"
        )


def quota(account: Account, instance_type: str) -> list[Check]:
    """The type's quota on demand, or why it cannot be read."""
    if account.wrong:
        why = account.wrong[0]
        return [replace(why, line=f"{why.line}: the vCPU quota was not checked")]
    cloud = account.cloud.sharing(replace(account.cloud.config, instance_types=(instance_type,)))
    try:
        return check_quota(read_quotas(cloud))
    except GpuBoxError as error:
        return check_quota(error)


def hours(price: Price, budget: Decimal) -> int | None:
    """Hours that a month's budget pays after the disk (0 if it costs more); None if the price is unknown."""
    if price.instance_hour is None:
        return None
    return max(0, int((budget - price.disk_month) / (price.instance_hour + price.address_hour)))


def fitting_budget(price: Price) -> Decimal:
    """US dollars a month, whole tens."""
    if price.hour is None:
        return _LEAST_BUDGET
    least = (_LEAST_HOURS * price.hour + price.disk_month) / _ROUND
    return max(_LEAST_BUDGET, least.quantize(Decimal(1), ROUND_UP) * _ROUND)


@dataclass(frozen=True, kw_only=True)
class Written:
    """The result of `init`, also its JSON form."""

    path: Path
    region: str
    instance_type: str
    budget: Decimal | None  # US dollars a month
    max_hours: timedelta
    usd_hour: Decimal | None  # running; None: the type's price is unknown
    usd_month_stopped: Decimal
    prices: str  # their source and date
    budget_hours: int | None  # hours that the budget pays
    quota: tuple[Check, ...]

    @classmethod
    def of(cls, path: Path, answers: Answers, price: Price, quota: Sequence[Check]) -> Written:
        budget = budget_of(answers)
        return cls(
            path=path,
            region=answers.region,
            instance_type=answers.instance_type,
            budget=budget,
            max_hours=max_hours_of(answers),
            usd_hour=price.hour,
            usd_month_stopped=price.disk_month,
            prices=price.source,
            budget_hours=hours(price, budget) if budget else None,
            quota=tuple(quota),
        )
