"""Settings for tests: capacity, delays and failures of the cloud, together called the weather.

POST /embedded/weather with a JSON object; keys that are left out stay as they are. DELETE restores the
defaults.

    {"timing": "real", "faster": 20, "delays": {"pending": 0.5},
     "terminated_shown_s": 3600, "spot_notice_s": 120,
     "capacity": {"g4dn.xlarge": {"us-east-1a": 0, "*": 4}},
     "spot_capacity": {"*": {"*": 0}},
     "quotas": {"L-DB2E81BA": 0},
     "regions": ["us-east-1", "eu-west-2"],
     "plan": "FREE",
     "request_rates": true,
     "organisation": [{"Effect": "Deny", "Action": "ec2:RunInstances", "Resource": "*"}],
     "launch_failures": [{"code": "Server.InsufficientInstanceCapacity", "zone": "us-east-1a"}],
     "faults": [{"service": "ec2", "operation": "RunInstances",
                 "code": "RequestLimitExceeded", "status": 503}]}

`timing` sets all delays to those of a profile (see `timing`), divided by `faster`; `delays` then sets single
ones, in seconds. If `spot_capacity` is less than what runs, AWS interrupts spot instances (see
`interruption`). With `request_rates`, EC2 limits requests as AWS does (see `request_rates`).
A fault with a code answers with that error. One without a code cuts the connection: before the call takes
effect, or, with "when": "after", after it, so that only the answer is lost. "skip" lets that many matching
first, "times" is how many are hit (default 1; 0 for all). Operation "*" is any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any

from local_aws import timing

# vCPUs per region, generous: a new account has 0 of most. Names as in the Service Quotas console.
_QUOTAS = {
    "L-1216C47A": 1152,
    "L-DB2E81BA": 768,
    "L-417A185B": 768,
    "L-34B43A08": 1152,
    "L-3819A6DF": 768,
    "L-7212CCBC": 768,
    "L-C4BD4855": 768,
}
ANY = "*"


@dataclass(frozen=True, kw_only=True)
class Fault:
    operation: str
    service: str = "ec2"
    code: str | None = None
    message: str = "made by the weather"
    status: int = 400
    when: str = "before"  # before | after
    skip: int = 0
    times: int = 1

    def hits(self, service: str, operation: str) -> bool:
        return self.service in (ANY, service) and self.operation in (ANY, operation)


@dataclass(frozen=True, kw_only=True)
class LaunchFailure:
    """See `ec2.launch_failure`."""

    code: str  # of a StateReason
    zone: str = ANY
    times: int = 1  # 0: always


@dataclass
class Weather:
    delays: dict[str, float] = field(default_factory=lambda: dict(timing.QUICK))
    terminated_shown_s: float = 3600.0  # EC2 shows a terminated instance for about an hour
    capacity: dict[str, dict[str, int]] = field(default_factory=dict)
    spot_capacity: dict[str, dict[str, int]] = field(default_factory=dict)
    quotas: dict[str, float] = field(default_factory=lambda: dict(_QUOTAS))
    # Enabled regions; none named: all that need no opting in. A class default, not a factory: a state that
    # was saved by an older version lacks this attribute.
    regions: tuple[str, ...] = ()
    plan: str = "PAID"  # the account's, with Free Tier's value; a fault refuses launches
    request_rates: bool = False
    spot_notice_s: float = 120.0  # from a spot interruption notice to the interruption
    # Statements of the organisation's service control policies; AWS evaluates them before any other policy.
    organisation: tuple[Mapping[str, Any], ...] = ()
    faults: list[Fault] = field(default_factory=list)
    launch_failures: list[LaunchFailure] = field(default_factory=list)

    def change(self, wanted: dict[str, Any]) -> None:
        """Raises ValueError for unknown keys and values, and changes nothing then."""
        unknown = wanted.keys() - self.__dict__.keys() - {"timing", "faster"}
        if unknown:
            raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
        if bad := wanted.get("delays", {}).keys() - timing.QUICK.keys():
            raise ValueError(f"unknown delays: {', '.join(sorted(bad))}")
        if "faster" in wanted and "timing" not in wanted:
            raise ValueError("faster: of which timing?")
        delays = dict(self.delays)
        if "timing" in wanted:
            delays = timing.profile(wanted["timing"], faster=float(wanted.get("faster", 1)))
        try:
            faults = [Fault(**fault) for fault in wanted["faults"]] if "faults" in wanted else self.faults
            failures = [LaunchFailure(**one) for one in wanted.get("launch_failures", ())]
        except TypeError as error:
            raise ValueError(str(error)) from error
        self.delays = delays | wanted.get("delays", {})
        self.quotas.update(wanted.get("quotas", {}))
        self.regions = tuple(wanted.get("regions", self.regions))
        self.plan = wanted.get("plan", self.plan)
        self.request_rates = bool(wanted.get("request_rates", self.request_rates))
        self.organisation = tuple(wanted.get("organisation", self.organisation))
        self.terminated_shown_s = wanted.get("terminated_shown_s", self.terminated_shown_s)
        self.spot_notice_s = float(wanted.get("spot_notice_s", self.spot_notice_s))
        self.capacity = wanted.get("capacity", self.capacity)
        self.spot_capacity = wanted.get("spot_capacity", self.spot_capacity)
        self.faults = faults
        if "launch_failures" in wanted:
            self.launch_failures = failures

    def __setstate__(self, saved: dict[str, Any]) -> None:
        """Use the defaults for attributes that a state saved by an older version lacks."""
        self.__dict__ = Weather().__dict__ | saved

    def delay(self, name: str) -> timedelta:
        """The delay; zero if a state saved by an older version lacks it."""
        return timedelta(seconds=self.delays.get(name, timing.QUICK[name]))

    def strike(self, service: str, operation: str) -> Fault | None:
        """The fault of this call, counted down; None if it succeeds."""
        for index, fault in enumerate(self.faults):
            if not fault.hits(service, operation):
                continue
            if fault.skip:
                self.faults[index] = replace(fault, skip=fault.skip - 1)
                continue
            if fault.times == 1:
                del self.faults[index]
            elif fault.times > 1:
                self.faults[index] = replace(fault, times=fault.times - 1)
            return fault
        return None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


_current = Weather()


def weather() -> Weather:
    return _current


def set_weather(new: Weather) -> None:
    global _current
    _current = new
