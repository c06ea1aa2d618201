"""Instances that AWS launched by itself through this box's persistent spot request, without tags.

"When you tag a Spot Instance request, the instances and volumes that are launched by the Spot Instance
request are not automatically tagged" (EC2 User Guide; hashicorp/terraform-provider-aws#38821).
They are found by the box's security group, and belong to the box if their request has its tag.
"""

from __future__ import annotations

from dataclasses import replace

from gpu_box.aws import tags
from gpu_box.aws.answers import listed_instances
from gpu_box.aws.client import Cloud
from gpu_box.aws.errors import translated
from gpu_box.aws.instance import parse_instance
from gpu_box.errors import CloudError
from gpu_box.model.observed import Instance

_THERE = ["pending", "running", "stopping", "stopped", "shutting-down"]


def read_relaunched(cloud: Cloud, *, by_key: bool = False) -> tuple[Instance, ...]:
    """Usually none; one request.

    by_key: if the requests cannot be read, take an instance with the box's key pair for the box's.
    """
    config, ec2 = cloud.config, cloud.ec2
    with translated("reading instances that AWS launched again"):
        found = listed_instances(
            ec2,
            Filters=[
                {"Name": "instance.group-name", "Values": [tags.resource_name(config)]},
                {"Name": "instance-lifecycle", "Values": ["spot"]},
                {"Name": "instance-state-name", "Values": _THERE},
            ],
        )
        untagged = [i for i in found if tags.NAME not in tags.tag_map(i) and i.get("SpotInstanceRequestId")]
        if not untagged:
            return ()
    ids = [i["SpotInstanceRequestId"] for i in untagged]
    try:
        with translated("reading spot requests"):
            requests = ec2.describe_spot_instance_requests(
                Filters=[{"Name": "spot-instance-request-id", "Values": ids}, *tags.of_box(config)]
            )["SpotInstanceRequests"]
        ours = {request["SpotInstanceRequestId"] for request in requests}
    except CloudError:
        with_key = [i for i in untagged if i.get("KeyName") == tags.resource_name(config)]
        if not (by_key and with_key):
            raise
        untagged, ours = with_key, set(ids)
    return tuple(parse_instance(i) for i in untagged if i["SpotInstanceRequestId"] in ours)


def boxes_behind_requests(cloud: Cloud) -> dict[str, str]:
    """The box of each instance that was launched by a box's spot request, in the region."""
    with translated("reading spot requests"):
        requests = cloud.ec2.describe_spot_instance_requests(
            Filters=[{"Name": "tag-key", "Values": [tags.NAME]}]
        )["SpotInstanceRequests"]
    boxes = {r["InstanceId"]: tags.tag_map(r).get(tags.NAME, "") for r in requests if r.get("InstanceId")}
    return {instance: box for instance, box in boxes.items() if box}


def tag_again(cloud: Cloud, instance_id: str) -> None:
    """Add gpu-box's own tags of the box's instances; AWS permits no other here. Raises CloudError."""
    own = replace(cloud.config, aws=replace(cloud.config.aws, tags=()))
    with translated("tagging the instance that AWS launched again"):
        cloud.ec2.create_tags(Resources=[instance_id], Tags=tags.tags(own))
