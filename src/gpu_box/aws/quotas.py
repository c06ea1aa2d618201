"""vCPU quotas: how many of a family's vCPUs the account may run in the region, and how many it runs.

New accounts have 0 for GPUs. The rule (EC2 User Guide, "Amazon EC2 instance type quotas"): vCPUs running in a
quota's families + vCPUs wanted <= quota, separately for on-demand and spot; for spot, stopped instances and
open requests also count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws.answers import listed, listed_instances, malformed
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.errors import translated
from gpu_box.aws.prices.catalogue import catalogue
from gpu_box.errors import CloudError
from gpu_box.model.observed import Instance, InstanceState
from gpu_box.model.results import QuotaAsked, Request

_SERVICE = "ec2"
_ON_DEMAND, _SPOT = "on-demand", "spot"
# The states that count, with EC2's names.
_COUNTED = {
    _ON_DEMAND: {"pending", "running"},
    _SPOT: {"pending", "running", "stopping", "stopped"},
}
_MARKETS = {
    "on-demand": (_ON_DEMAND,),
    "spot": (_SPOT,),
    "spot-then-on-demand": (_SPOT, _ON_DEMAND),
}
_UNDECIDED = {"PENDING", "CASE_OPENED"}


@dataclass(frozen=True, kw_only=True)
class QuotaUse:
    """A quota against one instance type's need. Numbers are vCPUs."""

    instance_type: str
    market: str
    code: str  # Service Quotas: "L-DB2E81BA"
    name: str  # "Running On-Demand G and VT instances"
    limit: int
    used: int
    wanted: int  # in addition to `used`

    @property
    def fits(self) -> bool:
        return self.used + self.wanted <= self.limit

    def __str__(self) -> str:
        return (
            f"{self.instance_type} ({self.market}) needs {self.wanted} vCPUs of the quota '{self.name}' "
            f"({self.code}), and {max(0, self.limit - self.used)} of {self.limit} are free"
        )


def quota_code(instance_type: str, market: str) -> str | None:
    """The quota that counts the type; None if the catalogue has none."""
    match = re.match(r"([a-z]+)(\d*)", instance_type)
    letters, generation = match.groups() if match else ("", "")
    by_family = {family: quota for quota in catalogue().quotas for family in quota.families}
    quota = by_family.get(letters + generation) or by_family.get(letters)
    return (quota.spot if market == _SPOT else quota.on_demand) if quota else None


def read_quotas(cloud: Cloud, market: str = _ON_DEMAND, own: Instance | None = None) -> list[QuotaUse]:
    """For each of the config's instance types with a known quota, in order. Raises CloudError.

    own: the box's instance, which is not counted twice.
    """
    code_of = {t: code for t in cloud.config.instance_types if (code := quota_code(t, market))}
    codes = list(dict.fromkeys(code_of.values()))
    if not codes:
        return []
    counted, *quotas = side_by_side(
        lambda: _counted(cloud, market), *(lambda code=code: _quota(cloud, code) for code in codes)
    )
    by_code = dict(zip(codes, quotas, strict=True))
    vcpus = _vcpus(cloud, {*counted, *code_of})
    has_one = own is not None and own.market == market and own.state in _COUNTED[market]
    uses = []
    for kind, code in code_of.items():
        quota = by_code[code]
        uses.append(
            QuotaUse(
                instance_type=kind,
                market=market,
                code=code,
                name=quota["QuotaName"],
                limit=int(quota["Value"]),
                used=sum(vcpus[t] for t in counted if quota_code(t, market) == code),
                wanted=0 if has_one else vcpus[kind],
            )
        )
    return uses


def read_wanted_quotas(cloud: Cloud, own: Instance | None = None) -> list[QuotaUse]:
    """For each market that `up` tries, in order; for an existing box its own. Raises CloudError."""
    config = cloud.config
    markets = (own.market,) if own else _MARKETS[config.market]
    return [use for market in markets for use in read_quotas(cloud, market, own)]


def missing_quota(cloud: Cloud, own: Instance | None = None) -> str | None:
    """The line for `plan` if the first choice does not fit; None if it does, or if that is unknown."""
    if own is not None and own.state in (InstanceState.PENDING, InstanceState.RUNNING):
        return None
    try:
        uses = read_wanted_quotas(cloud, own)
    except CloudError:
        return None  # not worth failing a plan; `doctor` reports missing permissions
    # A stopped instance starts with its own type, so other types do not help.
    if own is not None:
        uses = [use for use in uses if use.instance_type == own.type]
    if not uses or uses[0].fits:
        return None
    fitting = next((f"{use.instance_type} ({use.market})" for use in uses if use.fits), None)
    way_out = f"`up` will then try {fitting}" if fitting else "`gpu-box doctor --request-quota` requests more"
    return f"{uses[0]}: {way_out}"


def request_increase(cloud: Cloud, uses: Sequence[QuotaUse]) -> QuotaAsked:
    """Request an increase of one quota to the largest need. Raises CloudError.

    If an earlier request is still undecided, returns that one and requests nothing.
    """
    code, wanted = uses[0].code, max(use.used + use.wanted for use in uses)
    client = cloud.client("service-quotas")
    with translated("requesting a quota"):
        history = client.list_requested_service_quota_change_history_by_quota(
            ServiceCode=_SERVICE, QuotaCode=code
        )["RequestedQuotas"]
        for asked in history:
            if asked["Status"] in _UNDECIDED:
                return _asked(uses[0], asked, new=False)
        made = client.request_service_quota_increase(
            ServiceCode=_SERVICE, QuotaCode=code, DesiredValue=float(wanted)
        )["RequestedQuota"]
    return _asked(uses[0], made, new=True)


def _asked(use: QuotaUse, raw: dict[str, Any], *, new: bool) -> QuotaAsked:
    request = Request(id=raw["Id"], vcpus=int(raw["DesiredValue"]), status=raw["Status"], new=new)
    return QuotaAsked(code=use.code, name=use.name, request=request)


def _quota(cloud: Cloud, code: str) -> dict[str, Any]:
    with translated("reading a quota"):
        quota: dict[str, Any] = cloud.client("service-quotas").get_service_quota(
            ServiceCode=_SERVICE, QuotaCode=code
        )["Quota"]
        if "Value" not in quota and (reason := quota.get("ErrorReason")):  # with HTTP's status 200
            error = {"Code": reason["ErrorCode"], "Message": reason.get("ErrorMessage", "")}
            raise ClientError({"Error": error}, "GetServiceQuota")
    return quota


def _counted(cloud: Cloud, market: str) -> list[str]:
    """The instance type of every counted instance, with repetitions."""
    states = [{"Name": "instance-state-name", "Values": sorted(_COUNTED[market])}]
    with translated("reading running instances"):
        instances = list(listed_instances(cloud.ec2, Filters=states))
    types = [i["InstanceType"] for i in instances if i.get("InstanceLifecycle", _ON_DEMAND) == market]
    return types + (_open_requests(cloud) if market == _SPOT else [])


def _open_requests(cloud: Cloud) -> list[str]:
    with translated("reading spot requests"):
        still_open = [{"Name": "state", "Values": ["open"]}]
        requests = list(listed(cloud.ec2, "describe_spot_instance_requests", Filters=still_open))
    # The open request of a stopped instance is counted with its instance.
    return [r["LaunchSpecification"]["InstanceType"] for r in requests if not r.get("InstanceId")]


def _vcpus(cloud: Cloud, types: Iterable[str]) -> dict[str, int]:
    """A type's default vCPUs, which quotas count even if an instance uses fewer."""
    known = {name: kind.vcpus for name, kind in catalogue().types.items() if name in types}
    unknown = sorted(set(types) - known.keys())
    if unknown:
        with translated("reading instance types"):
            for kind in listed(cloud.ec2, "describe_instance_types", InstanceTypes=unknown):
                known[kind["InstanceType"]] = kind["VCpuInfo"]["DefaultVCpus"]
    if missing := sorted(set(types) - known.keys()):
        raise malformed("DescribeInstanceTypes", f"it has no {missing[0]}")
    return known
