"""EC2's limits of requests: a bucket of tokens per account, region and action.

Off, unless the weather's `request_rates` is true: one user alone rarely meets them. Sizes and refills per
second are those of "Request throttling for the Amazon EC2 API" (EC2 Developer Guide, read in November 2026;
https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html). AWS raises them on request.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from local_aws.api.calls import Call, Fields, form


@dataclass(frozen=True)
class Rate:
    size: float  # tokens of a full bucket
    refill: float  # tokens per second


_READS = ("Describe", "Get", "List", "Search")
_NON_MUTATING = Rate(100, 20)
_UNFILTERED = Rate(50, 10)
_MUTATING = Rate(50, 5)
# These take their tokens from the smaller bucket when they name neither a filter nor a page.
_LISTS = frozenset(
    {
        "DescribeInstances",
        "DescribeInstanceStatus",
        "DescribeNetworkInterfaces",
        "DescribeSecurityGroups",
        "DescribeSnapshots",
        "DescribeSpotInstanceRequests",
        "DescribeVolumes",
    }
)
# "Resource-intensive" and "uncategorized" actions, of those that this cloud implements.
_OWN = {
    "AuthorizeSecurityGroupIngress": Rate(50, 5),
    "CancelSpotInstanceRequests": Rate(50, 5),
    "CreateKeyPair": Rate(50, 5),
    "RevokeSecurityGroupIngress": Rate(50, 5),
    "RequestSpotInstances": Rate(50, 5),
    "CopyImage": Rate(100, 1),
    "CreateSnapshot": Rate(100, 5),
    "CreateTags": Rate(100, 10),
    "CreateVolume": Rate(100, 5),
    "DeleteSnapshot": Rate(100, 5),
    "DeleteTags": Rate(100, 10),
    "DeleteVolume": Rate(100, 5),
    "DeregisterImage": Rate(100, 5),
    "ModifyInstanceMetadataOptions": Rate(100, 5),
    "RunInstances": Rate(5, 2),
    "StartInstances": Rate(5, 2),
    "TerminateInstances": Rate(100, 5),
}
# A second bucket, of instances instead of requests.
_INSTANCES = {
    "RunInstances": Rate(1000, 2),
    "StartInstances": Rate(1000, 2),
    "StopInstances": Rate(1000, 20),
    "TerminateInstances": Rate(1000, 20),
}
STATUS = 503


class RequestRates:
    """The buckets of all regions. Full at first."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str, str], tuple[float, float]] = {}  # tokens, at monotonic seconds

    def refusal(self, call: Call, account: str) -> tuple[str, str] | None:
        """EC2's error for one call too many; None after taking the call's tokens."""
        fields = form(call.body)
        kind, rate = _rate(call.operation, fields)
        wanted = [(kind, rate, 1.0)]
        if instances := _INSTANCES.get(call.operation):
            wanted.append(("instances", instances, float(_count(call.operation, fields))))
        now = time.monotonic()
        left = {}
        for name, of, tokens in wanted:
            key = (call.region, call.operation, name)
            before, at = self._buckets.get(key, (of.size, now))
            left[key] = min(of.size, before + (now - at) * of.refill) - tokens
        if min(left.values()) < 0:
            # The words: github.com/CloudSnorkel/cdk-github-runners/issues/946
            return "RequestLimitExceeded", (
                f"Request limit exceeded. Account {account} has been throttled on ec2:{call.operation} "
                "because it exceeded its request rate limit."
            )
        self._buckets |= {key: (tokens, now) for key, tokens in left.items()}
        return None


def _rate(operation: str, fields: Fields) -> tuple[str, Rate]:
    """The bucket's name and rate."""
    if operation in _LISTS and not any(re.match(r"Filter\.|MaxResults$|NextToken$", name) for name in fields):
        return "unfiltered", _UNFILTERED
    if operation.startswith(_READS):
        return "requests", _NON_MUTATING
    return "requests", _OWN.get(operation, _MUTATING)


def _count(operation: str, fields: Fields) -> int:
    if operation == "RunInstances":
        return int(fields.get("MaxCount", 1))
    return sum(name.startswith("InstanceId.") for name in fields)
