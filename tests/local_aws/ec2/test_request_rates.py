"""EC2's limits of requests, which one user rarely meets and a team does."""

from __future__ import annotations

import time
from urllib.parse import urlencode

import pytest
from testbed.cloud import Cloud

from local_aws.api.calls import Call
from local_aws.ec2.request_rates import RequestRates

from ..errors import refused


class Account:
    """Counts the calls that EC2 accepts, on a clock that the test moves."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self._rates = RequestRates()
        patch.setattr(time, "monotonic", lambda: self.now)

    def accepts(self, operation: str, *, region: str = "us-east-1", **fields: str) -> bool:
        body = urlencode({"Action": operation, **fields}).encode()
        call = Call(
            service="ec2", operation=operation, key_id="", region=region, path="/", query="", body=body
        )
        return self._rates.refusal(call, "123456789012") is None

    def burst(self, operation: str, **fields: str) -> int:
        """How many calls at this moment are accepted."""
        for count in range(2000):
            if not self.accepts(operation, **fields):
                return count
        raise AssertionError(f"{operation} has no limit")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account(monkeypatch)


# The table of AWS's page: "Request token bucket sizes and refill rates".
@pytest.mark.parametrize(
    ("operation", "fields", "size", "refill"),
    [
        ("DescribeImages", {}, 100, 20),
        ("DescribeInstances", {"Filter.1.Name": "tag-key"}, 100, 20),
        ("DescribeInstances", {"MaxResults": "1000"}, 100, 20),
        ("DescribeInstances", {}, 50, 10),
        ("DescribeInstances", {"InstanceId.1": "i-1"}, 50, 10),
        ("CreateSecurityGroup", {}, 50, 5),
        ("CreateTags", {}, 100, 10),
        ("RunInstances", {}, 5, 2),
        ("StartInstances", {}, 5, 2),
        ("TerminateInstances", {}, 100, 5),
    ],
)
def test_a_burst_and_a_steady_rate_of_each_kind_of_call(
    account: Account, operation: str, fields: dict[str, str], size: int, refill: int
) -> None:
    assert account.burst(operation, **fields) == size
    account.now += 1
    assert account.burst(operation, **fields) == refill
    account.now += 3600
    assert account.burst(operation, **fields) == size  # a full bucket takes no more


def test_calls_actions_and_regions_do_not_share_a_bucket(account: Account) -> None:
    account.burst("RunInstances")
    assert account.accepts("StartInstances")
    assert account.accepts("RunInstances", region="eu-west-2")


def test_a_refused_call_costs_nothing(account: Account) -> None:
    account.burst("RunInstances")
    for _ in range(10):
        assert not account.accepts("RunInstances")
    account.now += 0.5
    assert account.accepts("RunInstances")


def test_instances_have_a_limit_besides_the_calls(account: Account) -> None:
    assert account.accepts("RunInstances", MaxCount="1000")
    assert not account.accepts("RunInstances", MaxCount="1")
    account.now += 0.5
    assert account.accepts("RunInstances", MaxCount="1")


def test_aws_answers_one_call_too_many_with_an_error(cloud: Cloud) -> None:
    cloud.weather(request_rates=True)
    with refused("RequestLimitExceeded", status=503, saying="throttled on ec2:RunInstances"):
        cloud.run(MinCount=1001, MaxCount=1001)


def test_the_rates_are_off_at_first(cloud: Cloud) -> None:
    assert cloud.weather()["request_rates"] is False
