"""AWS's refusals: the message has a remedy, and running the command again finishes the work."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gpu_box.aws import throttled
from gpu_box.aws.refusals import CAPACITY_CODES
from gpu_box.box import up
from gpu_box.config.model import Disk, ImageChoice
from gpu_box.errors import (
    CapacityError,
    CloudError,
    CloudUnreachable,
    CredentialsError,
    InputError,
    PermissionDenied,
    QuotaError,
    UnsupportedError,
)
from gpu_box.model.observed import InstanceState

from .conftest import Laptop, Owner, Weather

NOT_OFFERED = (
    "Your requested instance type (g5.xlarge) is not supported in your requested Availability Zone "
    "(us-east-1a). Please retry your request by not specifying an Availability Zone or choosing us-east-1c."
)


def test_capacity_is_looked_for_in_the_next_zone_then_in_the_next_type(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    mine = laptop(instance_types=("g5.xlarge", "g4dn.xlarge"), zones=("us-east-1a", "us-east-1b"))
    weather(capacity={"g5.xlarge": {"*": 0}, "g4dn.xlarge": {"us-east-1a": 0, "*": 4}})
    sent: list[str] = []
    mine.cloud.ec2.meta.events.register("before-send.ec2.RunInstances", lambda **_: sent.append("asked"))
    instance = mine.up().instance
    assert len(sent) == 4  # twice g5, then g4dn: each placement was tried once
    assert instance is not None
    assert (instance.type, instance.zone) == ("g4dn.xlarge", "us-east-1b")
    tried = [line.split(":")[0] for line in mine.report.lines if "InsufficientInstanceCapacity" in line]
    assert tried == ["g5.xlarge in us-east-1a", "g5.xlarge in us-east-1b", "g4dn.xlarge in us-east-1a"]


@pytest.mark.parametrize("code", sorted(CAPACITY_CODES))
def test_whatever_a_zone_lacks_the_next_one_is_asked_at_once(
    laptop: Callable[..., Laptop], weather: Weather, code: str
) -> None:
    mine = laptop(zones=("us-east-1a", "us-east-1b"))
    weather(faults=[{"operation": "RunInstances", "code": code, "status": 500}])
    sent: list[str] = []
    mine.cloud.ec2.meta.events.register("before-send.ec2.RunInstances", lambda **_: sent.append("asked"))
    instance = mine.up().instance
    assert instance is not None and instance.zone == "us-east-1b"
    assert len(sent) == 2, "each place was asked once"
    assert any(
        line.startswith("g4dn.xlarge in us-east-1a: ") and f"({code})" in line for line in mine.report.lines
    )


@pytest.mark.parametrize(
    ("code", "message", "kind", "asked"),
    [
        # A region's quota: every zone and type has the same.
        ("VolumeLimitExceeded", "You have exceeded your maximum gp3 storage limit.", QuotaError, 1),
        # A quota of a family: a type of another family may fit.
        ("VcpuLimitExceeded", "You have requested more vCPU capacity.", QuotaError, 2),
        ("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded", QuotaError, 2),
        # Permanent: a later try fails too, another placement may work.
        ("Unsupported", "The requested configuration is currently not supported.", UnsupportedError, 4),
        ("Unsupported", NOT_OFFERED, UnsupportedError, 4),
        # Of the account: the same for all placements.
        ("PendingVerification", "Your account is currently being verified.", CloudError, 1),
        ("InvalidParameterCombination", "... is not eligible for Free Tier.", CloudError, 1),
    ],
)
def test_a_refusal_is_not_asked_for_again_where_it_is_the_same(
    laptop: Callable[..., Laptop],
    weather: Weather,
    code: str,
    message: str,
    kind: type[CloudError],
    asked: int,
) -> None:
    mine = laptop(instance_types=("g5.xlarge", "g4dn.xlarge"), zones=("us-east-1a", "us-east-1b"))
    weather(faults=[{"operation": "RunInstances", "code": code, "message": message, "times": 0}])
    sent: list[str] = []
    mine.cloud.ec2.meta.events.register("before-send.ec2.RunInstances", lambda **_: sent.append("asked"))
    with pytest.raises(kind) as refused:
        mine.up()
    assert type(refused.value) is kind and len(sent) == asked
    assert "try again in some minutes" not in str(refused.value)


def test_a_type_that_no_zone_offers_is_not_called_a_lack_of_capacity(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    mine = laptop(zones=("us-east-1a",))
    weather(faults=[{"operation": "RunInstances", "code": "Unsupported", "message": NOT_OFFERED}])
    with pytest.raises(UnsupportedError, match="us-east-1a: not offered, Unsupported") as refused:
        mine.up()
    assert "no capacity" not in str(refused.value) and "It is not offered there" in str(refused.value)


def test_where_one_can_wait_for_any_place_it_is_a_lack_of_capacity(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    mine = laptop(instance_types=("g5.xlarge", "g4dn.xlarge"), zones=("us-east-1a",))
    weather(
        faults=[
            {"operation": "RunInstances", "code": "InsufficientInstanceCapacity", "status": 500},
            {"operation": "RunInstances", "code": "VcpuLimitExceeded"},
        ]
    )
    with pytest.raises(CapacityError, match=r"g5.*InsufficientInstanceCapacity; g4dn.*VcpuLimitExceeded"):
        mine.up()


def test_a_region_that_is_not_enabled_is_not_taken_for_wrong_keys(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    weather(regions=["us-east-1"])
    with pytest.raises(CloudError, match="eu-central-2 is not enabled for your account") as refused:
        laptop(region="eu-central-2").up()
    assert "aws account enable-region --region-name eu-central-2" in (refused.value.remedy or "")


# From AWS's list of error codes.
@pytest.mark.parametrize(
    "code",
    [
        "InsufficientAddressCapacity",
        "InsufficientCapacity",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "InsufficientReservedInstanceCapacity",
        "InsufficientReservedInstancesCapacity",
        "InsufficientVolumeCapacity",
        "UnfulfillableCapacity",
        "VolumeTypeNotAvailableInZone",
    ],
)
def test_each_lack_of_capacity_in_aws_s_list_is_known(code: str) -> None:
    assert code in CAPACITY_CODES


def test_no_capacity_anywhere_names_every_attempt_and_a_later_up_finishes(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    mine = laptop(zones=("us-east-1b", "us-east-1a"))
    weather(capacity={"*": {"*": 0}})
    with pytest.raises(CapacityError) as refused:
        mine.up()
    assert "g4dn.xlarge in us-east-1b" in str(refused.value)
    assert "instance_types or zones" in str(refused.value)
    weather(capacity={})
    assert len(mine.up().live) == 1


def test_a_quota_of_zero_says_that_it_is_the_quota(laptop: Callable[..., Laptop], weather: Weather) -> None:
    weather(quotas={"L-DB2E81BA": 0})
    with pytest.raises(QuotaError, match=r"VcpuLimitExceeded.*Service Quotas"):
        laptop().up()


@pytest.mark.parametrize(
    ("settings", "where", "said"),
    [
        ({"instance_types": ("g4dn.xlage",)}, "instance_types", "Did you mean g4dn.xlarge"),
        ({"instance_types": ("p9.huge",)}, "instance_types", "no instance type 'p9.huge'"),
        ({"zones": ("us-east-1z",)}, "zones", "Zones here: us-east-1a"),
        ({"image": ImageChoice(id="ami-00000000000000000")}, "image", "AMI ids differ by region"),
        ({"disk": Disk(size_gib=8)}, "disk.size_gib", "disk.size_gib to"),
        ({"region": "eu-wset-1"}, "region", "Did you mean eu-west-1"),
        ({"profile": "unknown"}, "profile", "unknown"),
    ],
)
def test_wrong_input_is_named_by_its_key_and_makes_nothing(
    laptop: Callable[..., Laptop], settings: dict[str, Any], where: str, said: str
) -> None:
    mine = laptop(**settings)
    with pytest.raises(InputError) as refused:
        mine.up()
    assert refused.value.where == where
    assert said in str(refused.value)
    assert laptop().observe().nothing_left


def test_a_type_that_the_zone_does_not_have_says_where_it_is(laptop: Callable[..., Laptop]) -> None:
    elsewhere = laptop(instance_types=("p4d.24xlarge",))
    zones = {
        o["Location"]
        for o in elsewhere.cloud.ec2.describe_instance_type_offerings(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": ["p4d.24xlarge"]}],
        )["InstanceTypeOfferings"]
    }
    lacking = next(f"us-east-1{z}" for z in "abcdef" if f"us-east-1{z}" not in zones)
    with pytest.raises(InputError, match="is offered in"):
        laptop(instance_types=("p4d.24xlarge",), zones=(lacking,)).up()


def test_no_default_vpc_says_how_to_make_one(laptop: Callable[..., Laptop], owner: Owner) -> None:
    far = laptop(region="eu-north-1")
    subnets = far.cloud.ec2.describe_subnets()["Subnets"]
    for subnet in subnets:
        owner("ec2", "eu-north-1").delete_subnet(SubnetId=subnet["SubnetId"])
    with pytest.raises(CloudError, match="create-default-vpc"):
        far.up()


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("ExpiredToken", CredentialsError, "expired"),
        ("AuthFailure", CredentialsError, "does not accept"),
        ("UnauthorizedOperation", PermissionDenied, "operator-policy.json"),
    ],
)
def test_a_missing_permission_is_named(
    laptop: Callable[..., Laptop], weather: Weather, code: str, kind: type[CloudError], said: str
) -> None:
    mine = laptop()
    weather(faults=[{"operation": "DescribeInstances", "code": code, "times": 0}])
    with pytest.raises(kind, match=said):
        mine.up()


def test_without_credentials_the_embedded_cloud_is_offered(
    laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = laptop()
    with monkeypatch.context() as env:
        env.delenv("AWS_ACCESS_KEY_ID")
        env.delenv("AWS_SECRET_ACCESS_KEY")
        env.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with pytest.raises(CredentialsError, match="--local"):
            mine.up()


def test_an_endpoint_that_does_not_answer_is_said_to(
    laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = laptop()
    with monkeypatch.context() as env:
        env.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(
            CloudUnreachable, match="does not answer, which AWS_ENDPOINT_URL sets in AWS.s place"
        ):
            mine.up()


def test_throttling_is_waited_out_for_longer_than_the_sdk_does(
    laptop: Callable[..., Laptop], weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = laptop()
    monkeypatch.setattr(throttled, "PATIENCE_S", 60.0)
    weather(faults=[{"operation": "RunInstances", "code": "RequestLimitExceeded", "status": 503, "times": 9}])
    assert len(mine.up().live) == 1


@pytest.mark.parametrize(("service", "operation"), [("iam", "CreateRole"), ("scheduler", "CreateSchedule")])
def test_who_may_not_arm_the_deadline_gets_the_box_after_agreeing_to_that(
    laptop: Callable[..., Laptop], weather: Weather, service: str, operation: str
) -> None:
    mine = laptop(without_deadline=True)
    fault = {"service": service, "operation": operation, "code": "AccessDeniedException", "times": 0}
    weather(faults=[fault])
    observed = mine.up()
    assert observed.live
    assert any("NOT ARMED" in line for line in mine.report.lines)


def test_a_stopped_box_whose_zone_is_full_is_kept_as_it_is_and_never_replaced(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    mine = laptop()
    first = mine.up().instance
    assert first is not None
    mine.stop()
    weather(capacity={"g4dn.xlarge": {first.zone: 0, "*": 8}})
    with pytest.raises(CapacityError) as refused:
        mine.up()
    assert f"no g4dn.xlarge left in {first.zone}" in refused.value.what
    assert "--wait" in (refused.value.remedy or "")
    [kept] = mine.observe().live
    assert (kept.id, kept.state) == (first.id, InstanceState.STOPPED)


def test_waiting_for_capacity_ends_when_there_is_some(
    laptop: Callable[..., Laptop], weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "_ASK_AGAIN_S", 0.2)
    mine = laptop()
    weather(capacity={"g4dn.xlarge": {"*": 0}})
    lines: list[str] = []

    def note(line: str) -> None:
        lines.append(line)
        if "trying again" in line:
            weather(capacity={})  # another instance has ended

    monkeypatch.setattr(mine.report, "note", note)
    _, observed, acted = up.bring_up(mine.cloud, mine.public_key, mine.report, wait=timedelta(minutes=2))
    assert acted
    assert observed.instance is not None
    assert observed.instance.state is InstanceState.RUNNING
    assert any("trying again for" in line for line in lines)


def test_waiting_for_capacity_gives_up_in_time(
    laptop: Callable[..., Laptop], weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "_ASK_AGAIN_S", 0.2)
    mine = laptop()
    weather(capacity={"g4dn.xlarge": {"*": 0}})
    with pytest.raises(CapacityError):
        up.bring_up(mine.cloud, mine.public_key, mine.report, wait=timedelta(seconds=1))
