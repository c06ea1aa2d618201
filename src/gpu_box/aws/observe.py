"""Read what exists for a box, at once: one round trip deep. AWS's dictionaries end here.

What a command does not need is not read. For `up`, what the last known state makes redundant is not read
either; if AWS disagrees, everything is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from gpu_box.aws import client, last_seen, security_group, tags
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.deadline import read_deadline, read_role
from gpu_box.aws.errors import translated
from gpu_box.aws.instance import parse_instance
from gpu_box.aws.my_address import caller_address
from gpu_box.aws.prices.prices import snapshot_gib_month
from gpu_box.aws.relaunched import boxes_behind_requests, read_relaunched
from gpu_box.errors import CloudError, CredentialsError
from gpu_box.model.observed import (
    ANYTHING,
    Deadline,
    Image,
    Instance,
    InstanceState,
    KeyPair,
    Listed,
    Observed,
    SecurityGroup,
    Snapshot,
    SpotRequest,
    Volume,
)

# What the caller is about to do with it.
Need = Literal["everything", "plan", "up", "stop", "status", "enter"]
SKIP = True  # False: everything is read for everyone
# What bills but starts nothing by itself; what only a command that changes a box needs.
_COSTS = frozenset({"volumes", "images", "snapshots", "spot_requests"})
_MEANS = frozenset({"key_pair", "role", "spot_requests"})
# Reads that are left out; what they tell then stays empty in an Observed.
_SKIPPED: Mapping[Need, frozenset[str]] = {
    "up": _COSTS,
    "stop": _COSTS,
    "status": _MEANS,
    "enter": _COSTS | _MEANS | {"deadline", "relaunched"},
}


def observe(cloud: Cloud, *, need: Need = "everything") -> Observed:
    """need: "plan" and "up" also ask from which address this laptop is seen. "stop" waits for EC2 alone,
    and for IAM and Scheduler a few seconds: what they do not answer is unread.

    What this process made a moment ago counts as there, shown or not.
    Raises CredentialsError, PermissionDenied, CloudUnreachable.
    """
    skipped = _skipped(cloud, need)
    seen = cloud.made.complete(cloud.box, _observe(cloud, need, skipped))
    if not skipped:
        last_seen.note_left(cloud, seen)
    return seen


def _observe(cloud: Cloud, need: Need, skipped: Collection[str]) -> Observed:
    region = cloud.region  # fails here, in words, before any thread starts
    reads = {name: read for name, read in _reads(cloud, brisk=need == "stop").items() if name not in skipped}
    if need in ("plan", "up") and cloud.config.network.allow_ssh_from is None:
        reads["caller"] = lambda: {"caller": caller_address()}
    expected = last_seen.expected(cloud) if need == "up" and skipped else ANYTHING
    if client.MEANWHILE and (services := _NEEDED_NEXT.get(expected.state)):
        reads["clients"] = lambda: _nothing(cloud.make_clients(*services))
    first = _FIRST.get(expected.state, reads.keys())
    fields = _ask(reads, first)
    seen = Observed(region=region, **{k: v for k, v in fields.items() if k != "relaunched"})
    if expected.state == "nothing" and not seen.live:
        return seen  # a step that makes what is there already is refused
    if expected.state == "stopped" and (instance := _stopped_by_us(seen)):
        # A placeholder in the past: `up` moves the schedule before the start, or AWS says that it is gone.
        deadline = Deadline(instance_id=instance.id, at=instance.launched, role_arn=expected.role_arn)
        return replace(seen, deadline=seen.deadline or deadline, deadline_role_arn=expected.role_arn)
    if expected != ANYTHING:
        last_seen.note(cloud, ANYTHING)
    fields |= _ask(reads, reads.keys() - first)
    known = {instance.id for instance in fields["instances"]}
    relaunched = tuple(i for i in fields.pop("relaunched", ()) if i.id not in known)
    return Observed(region=region, **(fields | {"instances": fields["instances"] + relaunched}))


def _skipped(cloud: Cloud, need: Need) -> frozenset[str]:
    limited = cloud.config.limits.budget is not None or cloud.config.market != "on-demand"
    if not SKIP or (need == "up" and limited):
        return frozenset()  # a budget counts disks; a second spot request is to be cancelled
    return _SKIPPED.get(need, frozenset())


# Clients are made while AWS is asked who is there, and not when they are needed. No call.
_NEEDED_NEXT = {"nothing": ("ssm", "iam", "scheduler"), "stopped": ("scheduler",)}
# By what is expected, the reads without which nothing can be planned.
_FIRST = {
    "nothing": {"instances", "caller", "clients"},
    "stopped": {"instances", "group", "caller", "clients"},
}


def _reads(cloud: Cloud, *, brisk: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """What each asks for and adds to an Observed."""
    config, ec2 = cloud.config, cloud.ec2
    return {
        "instances": lambda: _split(observe_all(cloud), config.name),
        "relaunched": lambda: {"relaunched": read_relaunched(cloud)},
        "group": lambda: {"group": _read_group(ec2, config.name)},
        "key_pair": lambda: {"key_pair": _read_key_pair(ec2, config.name)},
        "deadline": lambda: _of_deadline("deadline", lambda: read_deadline(cloud, brisk=brisk)),
        "role": lambda: _of_deadline("deadline_role_arn", lambda: read_role(cloud, brisk=brisk)),
        "volumes": lambda: {"volumes": tuple(_read_volumes(ec2, config.name))},
        "images": lambda: {"images": tuple(parse_image(raw) for raw in read_images(cloud))},
        "snapshots": lambda: {"snapshots": tuple(read_snapshots(cloud))},
        "spot_requests": lambda: {"spot_requests": tuple(_read_spot_requests(ec2, config.name))},
    }


def _ask(reads: dict[str, Callable[[], dict[str, Any]]], names: Collection[str]) -> dict[str, Any]:
    """The fields of an Observed that these reads tell."""
    fields: dict[str, Any] = {}
    for told in side_by_side(*(read for name, read in reads.items() if name in names)):
        whys = {
            key: fields.get(key) or told.get(key, "") for key in ("deadline_unavailable", "deadline_unread")
        }
        fields |= told | whys
    return fields


def _nothing(_: object) -> dict[str, Any]:
    return {}


def _of_deadline(name: str, read: Callable[[], tuple[object, str]]) -> dict[str, Any]:
    """What IAM or Scheduler does not answer is unread: to find a box and to stop it takes EC2 alone."""
    try:
        value, unavailable = read()
    except CredentialsError:
        raise
    except CloudError as error:
        return {name: None, "deadline_unread": f"{error.where}: {error.what}"}
    return {name: value, "deadline_unavailable": unavailable}


def _stopped_by_us(told: Observed) -> Instance | None:
    """The one instance, where `gpu-box stop` ended its last session."""
    match told.live:
        case (instance,) if instance.state is InstanceState.STOPPED and told.group:
            asked = instance.stop_asked
            return instance if asked and asked.at >= instance.launched else None
        case _:
            return None


def _split(listed: list[Listed], box: str) -> dict[str, Any]:
    """The region's other boxes, too: those that were forgotten are mentioned."""
    return {
        "instances": tuple(row.instance for row in listed if row.box == box),
        "others": tuple(row for row in listed if row.box != box),
    }


_MOST_A_PAGE = 1000  # "This value can be between 5 and 1000" (DescribeInstances, MaxResults)


def observe_all(cloud: Cloud) -> list[Listed]:
    """Every box of the region, by tag alone: also those of a config that this laptop never saw."""
    filters = [{"Name": "tag-key", "Values": [tags.NAME]}]
    with translated("listing boxes"):
        pages = cloud.ec2.get_paginator("describe_instances").paginate(
            Filters=filters, PaginationConfig={"PageSize": _MOST_A_PAGE}
        )
        raw = [i for page in pages for r in page["Reservations"] for i in r["Instances"]]
    listed = [Listed(box=tags.tag_map(i).get(tags.NAME, ""), instance=parse_instance(i)) for i in raw]
    return sorted(listed, key=lambda row: (row.box, row.instance.launched))


def observe_every_box(cloud: Cloud) -> list[Listed]:
    """As `observe_all`, with instances that AWS launched by itself and that have no tag yet."""
    listed, behind = side_by_side(lambda: observe_all(cloud), lambda: boxes_behind_requests(cloud))
    missing = sorted(behind.keys() - {row.instance.id for row in listed})
    if missing:
        found = read_instances(cloud, [{"Name": "instance-id", "Values": missing}])
        listed += [Listed(box=behind[i.id], instance=i) for i in found if not i.tagged]
    return sorted(listed, key=lambda row: (row.box, row.instance.launched))


def read_instances(cloud: Cloud, filters: list[dict[str, Any]]) -> list[Instance]:
    with translated("reading instances"):
        pages = cloud.ec2.get_paginator("describe_instances").paginate(Filters=filters)
        return [parse_instance(i) for page in pages for r in page["Reservations"] for i in r["Instances"]]


def read_instance(cloud: Cloud, instance_id: str) -> Instance | None:
    found = read_instances(cloud, [{"Name": "instance-id", "Values": [instance_id]}])
    return found[0] if found else None


def _read_group(ec2: Any, box: str) -> SecurityGroup | None:
    with translated("reading security groups"):
        groups = ec2.describe_security_groups(
            Filters=tags.named(box),
        )["SecurityGroups"]
    if not groups:
        return None
    return security_group.parse(groups[0])


def _read_key_pair(ec2: Any, box: str) -> KeyPair | None:
    with translated("reading key pairs"):
        pairs = ec2.describe_key_pairs(Filters=tags.named(box), IncludePublicKey=True)["KeyPairs"]
    if not pairs:
        return None
    raw = pairs[0]
    return KeyPair(
        id=raw["KeyPairId"],
        name=raw["KeyName"],
        public_key=raw.get("PublicKey", "").strip(),
        owner=_owner(raw),
    )


def _owner(raw: dict[str, Any]) -> str:
    return tags.tag_map(raw).get(tags.OWNER, "")


def _read_spot_requests(ec2: Any, box: str) -> list[SpotRequest]:
    with translated("reading spot requests"):
        raw = ec2.describe_spot_instance_requests(Filters=tags.named(box))
    found = [
        SpotRequest(
            id=r["SpotInstanceRequestId"],
            state=r["State"],
            instance_id=r.get("InstanceId"),
            owner=_owner(r),
        )
        for r in raw["SpotInstanceRequests"]
    ]
    return [request for request in found if request.exists]


def read_images(cloud: Cloud) -> list[dict[str, Any]]:
    """Of the box's disk, the newest first."""
    with translated("reading images"):
        found: list[dict[str, Any]] = cloud.ec2.describe_images(
            Owners=["self"], Filters=tags.of_box(cloud.config)
        )["Images"]
    return sorted(found, key=lambda raw: str(raw.get("CreationDate", "")), reverse=True)


def image_created(raw: dict[str, Any]) -> datetime:
    """Aware, UTC. Now, for one that is so new that AWS does not tell it."""
    told = raw.get("CreationDate")
    return datetime.fromisoformat(told).astimezone(UTC) if told else datetime.now(UTC)


def parse_image(raw: dict[str, Any]) -> Image:
    values = tags.tag_map(raw)
    disks = (mapping.get("Ebs", {}) for mapping in raw.get("BlockDeviceMappings", []))
    return Image(
        id=raw["ImageId"],
        state=raw["State"],
        kind=values.get(tags.IMAGE, ""),
        of=values.get(tags.IMAGE_OF, ""),
        created=image_created(raw),
        snapshot_ids=tuple(disk["SnapshotId"] for disk in disks if disk.get("SnapshotId")),
        owner=values.get(tags.OWNER, ""),
    )


def read_snapshots(cloud: Cloud) -> list[Snapshot]:
    with translated("reading snapshots"):
        pages = cloud.ec2.get_paginator("describe_snapshots").paginate(
            OwnerIds=["self"], Filters=tags.of_box(cloud.config)
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
            owner=_owner(raw),
        )
        for raw in found
    ]


def _read_volumes(ec2: Any, box: str) -> list[Volume]:
    with translated("reading disks"):
        pages = ec2.get_paginator("describe_volumes").paginate(Filters=tags.named(box))
        raw = [v for page in pages for v in page["Volumes"]]
    return [
        Volume(
            id=v["VolumeId"],
            size_gib=v["Size"],
            attached_to=next((a.get("InstanceId", "another service") for a in v["Attachments"]), None),
            created=v["CreateTime"],
            owner=_owner(v),
        )
        for v in raw
        if v["State"] not in ("deleting", "deleted")
    ]
