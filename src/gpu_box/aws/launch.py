"""RunInstances: one instance, in the first place that has one, however often it is asked."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from botocore.exceptions import ClientError

from gpu_box import polling
from gpu_box.aws import tags
from gpu_box.aws.client import Cloud
from gpu_box.aws.errors import code_of, translated
from gpu_box.aws.instance import parse_instance
from gpu_box.aws.observe import read_instances
from gpu_box.config.model import Config
from gpu_box.errors import CapacityError, CloudError, QuotaError, disk_too_small
from gpu_box.model.observed import MOVING, Instance, Placement
from gpu_box.model.progress import Reporter
from gpu_box.model.public_key import fingerprint
from gpu_box.plan import limits
from gpu_box.plan.steps import RunInstance
from gpu_box.resources import infra

# What was just made is not at once visible to every part of EC2 ("Eventual consistency", EC2 API reference).
_NOT_YET_CODES = frozenset(
    {
        "InvalidGroup.NotFound",
        "InvalidGroupId.NotFound",
        "InvalidKeyPair.NotFound",
        "InvalidPlacementGroup.Unknown",
        "InvalidSecurityGroupID.NotFound",
    }
)
_NOT_YET_S = 10.0
# A token is good for one launch until a day after its instance is terminated (boto/boto3#4406,
# ansible/ansible#4033), whether or not that is still shown.
_OTHER_PARAMETERS = "IdempotentParameterMismatch"
_USED_CODES = frozenset({_OTHER_PARAMETERS, "IdempotentInstanceTerminated"})
_TOKENS = 100
# "Volume of size 20GB is smaller than snapshot 'snap-0123', expect size >= 35GB": InvalidBlockDeviceMapping.
_LEAST_DISK = re.compile(r"smaller than snapshot .*expect size >= ?(\d+)")
# Only a persistent request's instance can be stopped and started (EC2 User Guide, "Stop a Spot Instance");
# and an interruption then keeps the disk, too.
_SPOT = {
    "InstanceMarketOptions": {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"},
    }
}


def run_instance(cloud: Cloud, step: RunInstance, *, group_id: str, report: Reporter) -> Instance | None:
    """Launch, trying each placement in order on a lack of capacity or quota.

    Returns None where the answer shows that somebody else was first: look again. Raises CapacityError,
    or QuotaError, naming every attempt.
    """
    attempts: list[str] = []
    refused: CapacityError | QuotaError | None = None
    for placement in step.launchable.placements:
        report.update(step.title, f"instance: asking for {placement}")
        try:
            return _run(cloud, step, placement, group_id)
        except (CapacityError, QuotaError) as error:
            refused = error
            attempts.append(f"{placement}: {error.code}")
            report.note(f"{placement}: {error.what}")
    assert refused is not None, "a launchable has at least one placement"
    raise type(refused)(
        f"no instance to be had ({'; '.join(attempts)})",
        code=refused.code,
        remedy=refused.remedy
        or "Add other types to instance_types or zones in config.yaml, or try again in some minutes.",
    )


def _run(cloud: Cloud, step: RunInstance, place: Placement, group_id: str) -> Instance | None:
    with translated(f"launching {place}"):
        for nth in range(_TOKENS):
            try:
                raw = _asked(cloud, launch_request(cloud, step, place, group_id, nth=nth))
            except ClientError as error:
                if code_of(error) not in _USED_CODES:
                    raise
                if code_of(error) == _OTHER_PARAMETERS and _has_instance(cloud):
                    return None
                continue
            instance = parse_instance(raw) if raw else None
            if instance is None or instance.exists:
                return instance
    raise CloudError(
        f"AWS remembers {_TOKENS} launches of this box in {place.zone} that are terminated",
        remedy="Run `gpu-box down`, then `up`: it begins a new box, which AWS does not know.",
    )


def _asked(cloud: Cloud, request: dict[str, Any]) -> dict[str, Any] | None:
    """RunInstances' instance. None where another hand's `down` removed what it needs."""
    for _ in polling.attempts(_NOT_YET_S, every_s=0.5):
        try:
            instance: dict[str, Any] = cloud.ec2.run_instances(**request)["Instances"][0]
            return instance
        except ClientError as error:
            if least := _LEAST_DISK.search(str(error)):
                raise disk_too_small(int(least[1])) from None
            if code_of(error) not in _NOT_YET_CODES:
                raise
    return None


def _has_instance(cloud: Cloud) -> bool:
    """Whether there is one of this box, made a moment ago by another hand: AWS may show it late."""
    states = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    filters = [*tags.of_box(cloud.config), states]
    return any(read_instances(cloud, filters) for _ in polling.attempts(_NOT_YET_S, every_s=0.5))


def launch_request(
    cloud: Cloud, step: RunInstance, place: Placement, group_id: str, *, nth: int = 0
) -> dict[str, Any]:
    """Of RunInstances. nth: how many client tokens of this life and place AWS has refused as used up."""
    config = cloud.config
    disk = {
        "VolumeSize": config.disk.size_gib,
        "VolumeType": config.disk.type,
        "Encrypted": True,  # by the account's own default key: nothing to make, to permit or to pay
        "DeleteOnTermination": True,
        **({"Iops": config.disk.iops} if config.disk.iops else {}),
        **({"Throughput": config.disk.throughput_mib} if config.disk.throughput_mib else {}),
    }
    spot = place.market == "spot"
    return {
        **(_SPOT if spot else {}),
        **({"Placement": {"GroupName": tags.cluster_name(config)}} if config.cluster else {}),
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": _client_token(step, place, nth),
        "ImageId": step.launchable.image_id,
        "InstanceType": place.type,
        "KeyName": tags.resource_name(config),
        "UserData": step.launch.user_data,
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": place.subnet_id,
                "Groups": [group_id, *([shared] if (shared := step.launchable.cluster_group_id) else [])],
                "AssociatePublicIpAddress": True,
            }
        ],
        "BlockDeviceMappings": [{"DeviceName": step.launchable.root_device, "Ebs": disk}],
        # `shutdown` on the box stops the meter and keeps the disk; only `down` loses one.
        "InstanceInitiatedShutdownBehavior": "stop",
        # Not left to the account's or the image's defaults: a container or a proxied request on the box, one
        # hop further, gets no answer from the metadata service.
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
        },
        "TagSpecifications": [
            tags.tag_specification("instance", config, **_instance_tags(cloud, step)),
            tags.tag_specification("volume", config),
            *([tags.tag_specification("spot-instances-request", config)] if spot else []),
        ],
    }


def _instance_tags(cloud: Cloud, step: RunInstance) -> dict[str, str]:
    moving = step.launchable.image_kind == MOVING
    return {
        tags.DISK: str(cloud.config.disk.size_gib),
        tags.KEY: fingerprint(step.launch.public_key),
        tags.LIMITS: limits.tag(cloud.config),
        **({tags.MOVED_FROM: step.launchable.image_id} if moving else {}),
    }


def _client_token(step: RunInstance, place: Placement, nth: int) -> str:
    """The same sequence for every laptop and retry in this life of the box: whoever launches it again after
    an instance is gone, AWS refuses the same tokens to all of them and takes the same one.

    64 characters, EC2's limit.
    """
    # A box that moved is launched again in the same life, and from another image.
    own = (step.launchable.image_id,) if step.launchable.image_kind else ()
    again = (str(nth),) if nth else ()
    parts = (*own, step.launch.generation, place.type, place.zone, place.market, *again)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def render_user_data(config: Config, *, host_private_key: str, host_public_key: str) -> str:
    """The same text for the same input, byte for byte: a retried launch must not differ from the first.

    host_private_key: PEM. host_public_key: OpenSSH line.
    """
    template = infra("user-data.yaml").read_text(encoding="utf-8")
    indented = host_private_key.strip().replace("\n", "\n    ")
    return template.replace("@HOST_PRIVATE_KEY@", indented).replace("@HOST_PUBLIC_KEY@", host_public_key)
