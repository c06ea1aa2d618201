"""vCPU quotas counted as AWS counts them, so that `plan` predicts RunInstances' refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gpu_box.aws.quotas import missing_quota, quota_code, read_quotas, request_increase
from gpu_box.box.preview import preview
from gpu_box.errors import PermissionDenied, QuotaError

from .conftest import Laptop, Owner, Weather

G, P, SPOT_G = "L-DB2E81BA", "L-417A185B", "L-3819A6DF"


@pytest.mark.parametrize(
    ("instance_type", "on_demand", "spot"),
    [
        ("g4dn.xlarge", G, SPOT_G),
        ("gr6.4xlarge", G, SPOT_G),
        ("vt1.3xlarge", G, SPOT_G),
        ("p3.2xlarge", P, "L-7212CCBC"),
        ("p4d.24xlarge", P, "L-7212CCBC"),
        ("p5en.48xlarge", P, "L-C4BD4855"),
        ("p6-b200.48xlarge", P, None),
        ("t3.micro", "L-1216C47A", "L-34B43A08"),
        ("im4gn.large", "L-1216C47A", "L-34B43A08"),
        ("trn1.2xlarge", None, None),
        ("u-6tb1.metal", None, None),
        ("", None, None),
    ],
)
def test_a_type_is_counted_by_its_family_s_quota(
    instance_type: str, on_demand: str | None, spot: str | None
) -> None:
    assert quota_code(instance_type, "on-demand") == on_demand
    assert quota_code(instance_type, "spot") == spot


def test_what_runs_and_what_is_wanted_are_added(laptop: Callable[..., Laptop], weather: Weather) -> None:
    mine, other = laptop(region="us-west-2"), laptop(region="us-west-2", name="other")
    weather(quotas={G: 6})
    assert missing_quota(mine.cloud) is None
    other.up()
    [use] = read_quotas(mine.cloud)
    assert (use.used, use.wanted, use.limit, use.fits) == (4, 4, 6, False)
    assert missing_quota(mine.cloud) == (
        "g4dn.xlarge (on-demand) needs 4 vCPUs of the quota 'Running On-Demand G and VT instances' "
        "(L-DB2E81BA), and 2 of 6 are free: `gpu-box doctor --request-quota` requests more"
    )
    assert preview(mine.cloud).missing_quota == missing_quota(mine.cloud)
    with pytest.raises(QuotaError):  # which is right
        mine.up()
    other.stop()
    assert missing_quota(mine.cloud) is None, "a stopped instance on demand does not count"
    other.down()
    mine.down()


def test_a_box_that_runs_wants_nothing_more(laptop: Callable[..., Laptop], weather: Weather) -> None:
    mine = laptop(region="us-west-1")
    running = mine.up().instance
    weather(quotas={G: 0})
    assert [use.wanted for use in read_quotas(mine.cloud, own=running)] == [0]
    assert missing_quota(mine.cloud, running) is None
    stopped = mine.stop().instance
    said = missing_quota(mine.cloud, stopped)
    assert said is not None and "0 of 0 are free" in said
    mine.down()


def test_the_next_type_is_named_where_it_fits(laptop: Callable[..., Laptop], weather: Weather) -> None:
    mine = laptop(instance_types=("p4d.24xlarge", "g5.xlarge"))
    weather(quotas={P: 0})
    said = missing_quota(mine.cloud)
    assert said is not None and said.endswith("`up` will then try g5.xlarge (on-demand)")


def test_a_spot_box_is_held_to_the_spot_quota_and_may_go_on_on_demand(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    weather(quotas={SPOT_G: 0})
    assert missing_quota(laptop().cloud) is None
    alone = missing_quota(laptop(market="spot").cloud)
    assert alone is not None and "(L-3819A6DF), and 0 of 0 are free: `gpu-box doctor" in alone
    both = missing_quota(laptop(market="spot-then-on-demand").cloud)
    assert both is not None and both.endswith("`up` will then try g4dn.xlarge (on-demand)")


def test_spot_has_its_own_quota_and_counts_what_is_stopped(
    laptop: Callable[..., Laptop], weather: Weather, owner: Owner
) -> None:
    mine = laptop(region="eu-central-1")
    ec2 = owner("ec2", "eu-central-1")  # another user's
    parameter = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
    image = mine.cloud.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
    launched = ec2.run_instances(
        ImageId=image,
        InstanceType="g5.2xlarge",
        MinCount=1,
        MaxCount=1,
        InstanceMarketOptions={
            "MarketType": "spot",
            "SpotOptions": {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"},
        },
    )["Instances"][0]
    ids = [launched["InstanceId"]]
    ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})
    ec2.stop_instances(InstanceIds=ids)
    ec2.get_waiter("instance_stopped").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})
    assert [(use.code, use.used) for use in read_quotas(mine.cloud, "spot")] == [(SPOT_G, 8)]
    assert [(use.code, use.used) for use in read_quotas(mine.cloud)] == [(G, 0)]
    ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[launched["SpotInstanceRequestId"]])
    ec2.terminate_instances(InstanceIds=ids)


def test_more_is_asked_for_once(laptop: Callable[..., Laptop], weather: Weather) -> None:
    mine = laptop(region="eu-west-3", instance_types=("g4dn.xlarge", "g4dn.12xlarge"))
    weather(quotas={G: 0})
    uses = read_quotas(mine.cloud)
    first = request_increase(mine.cloud, uses).request
    assert (first.vcpus, first.status, first.new) == (48, "PENDING", True), "enough for the largest"
    again = request_increase(mine.cloud, uses).request
    assert (again.id, again.new) == (first.id, False)


def test_who_may_not_read_quotas_gets_a_plan_nevertheless(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    fault = {"service": "servicequotas", "operation": "*", "code": "AccessDeniedException", "times": 0}
    weather(quotas={G: 0}, faults=[fault])
    mine = laptop()
    assert missing_quota(mine.cloud) is None
    with pytest.raises(PermissionDenied):
        read_quotas(mine.cloud)


def test_a_type_without_a_known_quota_is_not_asked_about(laptop: Callable[..., Laptop]) -> None:
    assert read_quotas(laptop(instance_types=("trn1.2xlarge",)).cloud) == []


def test_a_quota_that_aws_may_not_show_is_no_broken_answer(laptop: Callable[..., Laptop]) -> None:
    """AWS answers with status 200, an ErrorReason and no value (hashicorp/terraform-provider-aws#19719)."""
    mine = laptop()

    def hide(parsed: dict[str, Any], **_: Any) -> None:
        del parsed["Quota"]["Value"]
        parsed["Quota"]["ErrorReason"] = {"ErrorCode": "DEPENDENCY_ACCESS_DENIED_ERROR"}

    events = mine.cloud.client("service-quotas").meta.events
    events.register("after-call.service-quotas.GetServiceQuota", hide)
    with pytest.raises(PermissionDenied, match="no access to this quota"):
        read_quotas(mine.cloud)
