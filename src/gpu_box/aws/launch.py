"""RunInstances: launch one instance in the first placement with capacity, idempotently."""

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
from gpu_box.aws.refusals import FAMILY_QUOTA_CODES
from gpu_box.config.model import Config
from gpu_box.errors import CapacityError, CloudError, QuotaError, UnsupportedError, disk_too_small
from gpu_box.model.observed import MOVING, Instance, Placement
from gpu_box.model.progress import Reporter
from gpu_box.model.public_key import fingerprint
from gpu_box.plan import limits
from gpu_box.plan.steps import RunInstance
from gpu_box.resources import infra

# New resources are not visible to all of EC2 at once ("Eventual consistency", EC2 API reference).
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
# A token serves one launch until a day after its instance is terminated (boto/boto3#4406,
# ansible/ansible#4033), even if AWS no longer shows the instance.
_OTHER_PARAMETERS = "IdempotentParameterMismatch"
_USED_CODES = frozenset({_OTHER_PARAMETERS, "IdempotentInstanceTerminated"})
_TOKENS = 100
# "Volume of size 15GB is smaller than  snapshot 'snap-0123', expect size >= 30GB": InvalidBlockDeviceMapping,
# with two spaces (scylladb/scylla-cluster-tests#2484).
_LEAST_DISK = re.compile(r"smaller than\s+snapshot .*expect size >= ?(\d+)")
# Only a persistent request's instance can be stopped and started (EC2 User Guide, "Stop a Spot Instance");
# an interruption then keeps the disk.
_SPOT = {
    "InstanceMarketOptions": {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"},
    }
}


def run_instance(cloud: Cloud, step: RunInstance, *, group_id: str, report: Reporter) -> Instance | None:
    """Launch, trying each placement in order; an earlier refusal may rule out later ones.

    Returns None if another process was first: observe again. Raises CapacityError, UnsupportedError or
    QuotaError with every attempt; CapacityError if there is one, because capacity can be waited for.
    """
    refusals: list[CapacityError | UnsupportedError | QuotaError] = []
    attempts: list[str] = []
    used_up: set[tuple[str, str]] = set()  # (type, market)
    for placement in step.launchable.placements:
        if (placement.type, placement.market) in used_up:
            continue
        report.update(step.title, f"instance: requesting {placement}")
        try:
            return _run(cloud, step, placement, group_id)
        except (CapacityError, UnsupportedError, QuotaError) as error:
            if isinstance(error, QuotaError):
                if error.code not in FAMILY_QUOTA_CODES:
                    raise
                used_up.add((placement.type, placement.market))
            refusals.append(error)
            never = "not offered, " if isinstance(error, UnsupportedError) else ""
            attempts.append(f"{placement}: {never}{error.code}")
            report.note(f"{placement}: {error.what}")
    refused = next((one for one in refusals if isinstance(one, CapacityError)), refusals[-1])
    raise type(refused)(
        f"no capacity ({'; '.join(attempts)})"
        if isinstance(refused, CapacityError)
        else f"no instance could be launched ({'; '.join(attempts)})",
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
        f"AWS still remembers {_TOKENS} terminated launches of this box in {place.zone}",
        remedy="Run `gpu-box down`, then `up`: that starts a new box.",
    )


def _asked(cloud: Cloud, request: dict[str, Any]) -> dict[str, Any] | None:
    """RunInstances' instance. None if another `down` removed a resource that it needs."""
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
    """Whether the box has an instance; AWS may show one from another process late."""
    states = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    filters = [*tags.of_box(cloud.config), states]
    return any(read_instances(cloud, filters) for _ in polling.attempts(_NOT_YET_S, every_s=0.5))


def launch_request(
    cloud: Cloud, step: RunInstance, place: Placement, group_id: str, *, nth: int = 0
) -> dict[str, Any]:
    """The arguments of RunInstances. nth: how many client tokens AWS has refused as used."""
    config = cloud.config
    disk = {
        "VolumeSize": config.disk.size_gib,
        "VolumeType": config.disk.type,
        **({"KmsKeyId": config.aws.kms_key} if config.aws.kms_key else {}),
        "Encrypted": True,  # with the account's default key, which costs nothing
        "DeleteOnTermination": True,
        **({"Iops": config.disk.iops} if config.disk.iops else {}),
        **({"Throughput": config.disk.throughput_mib} if config.disk.throughput_mib else {}),
        **({"VolumeInitializationRate": rate} if (rate := step.launchable.initialization_mib) else {}),
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
        # `shutdown` on the box stops the instance and keeps the disk; only `down` deletes a disk.
        "InstanceInitiatedShutdownBehavior": "stop",
        # Set explicitly, not left to the account's or image's defaults: the metadata service does not answer
        # a container or a proxied request on the box, which is one hop further away.
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
        },
        "TagSpecifications": [
            tags.tag_specification("instance", config, **_instance_tags(cloud, step)),
            tags.tag_specification("volume", config),
            *([tags.tag_specification("spot-instances-request", config)] if spot else []),
            # An organisation may deny launches whose network interface lacks its tags
            # (aws-cloudformation/cloudformation-coverage-roadmap#1947).
            *([tags.tag_specification("network-interface", config)] if config.aws.tags else []),
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
    """The same sequence of tokens for every laptop and retry of this box, so that all of them agree on one.

    64 characters, EC2's limit.
    """
    # A box that moved is launched again with the same generation, but from another image.
    own = (step.launchable.image_id,) if step.launchable.image_kind else ()
    again = (str(nth),) if nth else ()
    parts = (*own, step.launch.generation, place.type, place.zone, place.market, *again)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def render_user_data(config: Config, *, host_private_key: str, host_public_key: str) -> str:
    """The same bytes for the same input: a retried launch must not differ from the first.

    host_private_key: PEM. host_public_key: an OpenSSH line.
    """
    template = infra("user-data.yaml").read_text(encoding="utf-8")
    indented = host_private_key.strip().replace("\n", "\n    ")
    return template.replace("@HOST_PRIVATE_KEY@", indented).replace("@HOST_PUBLIC_KEY@", host_public_key)
