"""Read everything that exists for a box, at once: one round trip deep. AWS's dictionaries end here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from gpu_box.aws import naming, security_group
from gpu_box.aws.caller import caller_address
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.deadline import read_deadline, read_role
from gpu_box.aws.errors import translated
from gpu_box.aws.prices import snapshot_gib_month
from gpu_box.model import (
    Image,
    Instance,
    InstanceState,
    KeyPair,
    Observed,
    SecurityGroup,
    Snapshot,
    SpotRequest,
    StopAsked,
    Volume,
)
from gpu_box.spending import from_tags


def observe(cloud: Cloud, *, ask_caller: bool = False, everything: bool = True) -> Observed:
    """ask_caller: also ask from which address this laptop is seen (only `up` needs it).

    everything: also disks and spot requests, which cost money and start nothing by themselves.

    Raises CredentialsError, PermissionDenied, CloudUnreachable.
    """
    config = cloud.config
    ask = ask_caller and config.network.allow_ssh_from is None
    region, ec2 = cloud.region, cloud.ec2  # both fail here, in words, before any thread starts
    instances, group, key_pair, volumes, images, snapshots, spot, (deadline, unarmable), role, caller = (
        side_by_side(
            lambda: read_instances(cloud, naming.of_box(config)),
            lambda: _read_group(ec2, config.name),
            lambda: _read_key_pair(ec2, config.name),
            lambda: _read_volumes(ec2, config.name) if everything else [],
            lambda: read_images(cloud) if everything else [],
            lambda: read_snapshots(cloud) if everything else [],
            lambda: _read_spot_requests(ec2, config.name) if everything else [],
            lambda: read_deadline(cloud),
            lambda: read_role(cloud),
            lambda: caller_address() if ask else (),
        )
    )
    role_arn, unreadable = role
    return Observed(
        region=region,
        instances=tuple(instances),
        group=group,
        key_pair=key_pair,
        volumes=tuple(volumes),
        images=tuple(parse_image(raw) for raw in images),
        snapshots=tuple(snapshots),
        spot_requests=tuple(request for request in spot if request.exists),
        deadline=deadline,
        deadline_role_arn=role_arn,
        deadline_unavailable=unarmable or unreadable,
        caller=caller,
    )


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A row of `ls`: any box of anybody in this region."""

    box: str
    instance: Instance


def observe_all(cloud: Cloud) -> list[Listed]:
    """Every box of the region, by tag alone: also those of a config that this laptop never saw."""
    filters = [{"Name": "tag-key", "Values": [naming.NAME]}]
    with translated("listing boxes"):
        pages = cloud.ec2.get_paginator("describe_instances").paginate(Filters=filters)
        raw = [i for page in pages for r in page["Reservations"] for i in r["Instances"]]
    listed = [Listed(box=naming.tag_map(i)[naming.NAME], instance=parse_instance(i)) for i in raw]
    return sorted(listed, key=lambda row: (row.box, row.instance.launched))


def read_instances(cloud: Cloud, filters: list[dict[str, Any]]) -> list[Instance]:
    with translated("reading instances"):
        pages = cloud.ec2.get_paginator("describe_instances").paginate(Filters=filters)
        return [parse_instance(i) for page in pages for r in page["Reservations"] for i in r["Instances"]]


def read_instance(cloud: Cloud, instance_id: str) -> Instance | None:
    found = read_instances(cloud, [{"Name": "instance-id", "Values": [instance_id]}])
    return found[0] if found else None


def _whole(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def parse_instance(raw: dict[str, Any]) -> Instance:
    tags = naming.tag_map(raw)
    reason = raw.get("StateReason", {})
    spent = from_tags(
        (key.removeprefix(naming.USD_MONTH), value)
        for key, value in tags.items()
        if key.startswith(naming.USD_MONTH)
    )
    launched: datetime = raw["LaunchTime"]
    return Instance(
        id=raw["InstanceId"],
        state=InstanceState(raw["State"]["Name"]),
        type=raw["InstanceType"],
        zone=raw["Placement"]["AvailabilityZone"],
        launched=launched,
        address=raw.get("PublicIpAddress") or raw.get("Ipv6Address"),
        private_address=raw.get("PrivateIpAddress"),
        market=raw.get("InstanceLifecycle", "on-demand"),
        key_name=raw.get("KeyName", ""),
        host_key=tags.get(naming.HOST_KEY),
        ssh_port=int(tags.get(naming.SSH_PORT, 22)),
        reason_code=reason.get("Code", ""),
        reason=reason.get("Message", ""),
        transition=raw.get("StateTransitionReason", ""),
        stop_asked=_stop_asked(tags.get(naming.STOP, "")),
        spent=tuple(sorted(spent.items())),
        spent_until=_time(tags.get(naming.COUNTED, "")),
        resizing=tags.get(naming.RESIZING, ""),
        extending=_extending(tags.get(naming.EXTENDING, "")),
        baking=bool(tags.get(naming.BAKING, "")),
        moved_from=tags.get(naming.MOVED_FROM, ""),
        disk_gib=_whole(tags.get(naming.DISK, "")),
        owner=tags.get(naming.OWNER, ""),
    )


def _stop_asked(value: str) -> StopAsked | None:
    when, _, by = value.partition(" ")
    at = _time(when)
    return StopAsked(at=at, by=by or "somebody") if at else None


def _extending(value: str) -> tuple[datetime, datetime] | None:
    before, _, after = value.partition(" ")
    base, at = _time(before), _time(after)
    return (base, at) if base and at else None


def _time(value: str) -> datetime | None:
    """Of a tag, which anybody may have edited."""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else None


def _read_group(ec2: Any, box: str) -> SecurityGroup | None:
    with translated("reading security groups"):
        groups = ec2.describe_security_groups(
            Filters=[{"Name": f"tag:{naming.NAME}", "Values": [box]}],
        )["SecurityGroups"]
    if not groups:
        return None
    return security_group.parse(groups[0])


def _read_key_pair(ec2: Any, box: str) -> KeyPair | None:
    with translated("reading key pairs"):
        pairs = ec2.describe_key_pairs(
            Filters=[{"Name": f"tag:{naming.NAME}", "Values": [box]}], IncludePublicKey=True
        )["KeyPairs"]
    if not pairs:
        return None
    raw = pairs[0]
    return KeyPair(id=raw["KeyPairId"], name=raw["KeyName"], public_key=raw.get("PublicKey", "").strip())


def _read_spot_requests(ec2: Any, box: str) -> list[SpotRequest]:
    with translated("reading spot requests"):
        raw = ec2.describe_spot_instance_requests(Filters=[{"Name": f"tag:{naming.NAME}", "Values": [box]}])
    return [
        SpotRequest(id=r["SpotInstanceRequestId"], state=r["State"], instance_id=r.get("InstanceId"))
        for r in raw["SpotInstanceRequests"]
    ]


def read_images(cloud: Cloud) -> list[dict[str, Any]]:
    """Of the box's disk, the newest first."""
    with translated("reading images"):
        found: list[dict[str, Any]] = cloud.ec2.describe_images(
            Owners=["self"], Filters=naming.of_box(cloud.config)
        )["Images"]
    return sorted(found, key=lambda raw: str(raw.get("CreationDate", "")), reverse=True)


def parse_image(raw: dict[str, Any]) -> Image:
    tags = naming.tag_map(raw)
    disks = (mapping.get("Ebs", {}) for mapping in raw.get("BlockDeviceMappings", []))
    return Image(
        id=raw["ImageId"],
        state=raw["State"],
        kind=tags.get(naming.IMAGE, ""),
        of=tags.get(naming.IMAGE_OF, ""),
        created=datetime.fromisoformat(raw["CreationDate"]).astimezone(UTC),
        snapshot_ids=tuple(disk["SnapshotId"] for disk in disks if disk.get("SnapshotId")),
    )


def read_snapshots(cloud: Cloud) -> list[Snapshot]:
    with translated("reading snapshots"):
        pages = cloud.ec2.get_paginator("describe_snapshots").paginate(
            OwnerIds=["self"], Filters=naming.of_box(cloud.config)
        )
        found = [raw for page in pages for raw in page["Snapshots"]]
    usd = snapshot_gib_month(cloud) if found else Decimal(0)
    return [
        Snapshot(
            id=raw["SnapshotId"],
            size_gib=raw["VolumeSize"],
            created=raw["StartTime"],
            usd_month=usd * raw["VolumeSize"],
            progress=raw.get("Progress", ""),
        )
        for raw in found
    ]


def _read_volumes(ec2: Any, box: str) -> list[Volume]:
    with translated("reading disks"):
        pages = ec2.get_paginator("describe_volumes").paginate(
            Filters=[{"Name": f"tag:{naming.NAME}", "Values": [box]}]
        )
        raw = [v for page in pages for v in page["Volumes"]]
    return [
        Volume(
            id=v["VolumeId"],
            size_gib=v["Size"],
            attached_to=next((a["InstanceId"] for a in v["Attachments"]), None),
            created=v["CreateTime"],
        )
        for v in raw
        if v["State"] not in ("deleting", "deleted")
    ]
