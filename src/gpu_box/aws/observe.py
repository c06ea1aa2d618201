"""Read a box's resources in parallel, in one round trip. AWS's dictionaries end here.

A command reads only what it needs. For `up`, reads that the last known state makes redundant are skipped; if
AWS disagrees, everything is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from gpu_box.aws import answers, client, last_seen, security_group, tags
from gpu_box.aws.answers import listed, listed_instances
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.deadline import read_deadline, read_role
from gpu_box.aws.errors import translated
from gpu_box.aws.instance import parse_instance
from gpu_box.aws.my_address import caller_address
from gpu_box.aws.prices.prices import snapshot_gib_month
from gpu_box.aws.region import not_enabled
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
from gpu_box.store import reminder

# The purpose for which the caller reads the state.
Need = Literal["everything", "plan", "up", "stop", "status", "enter"]
SKIP = True  # False: always read everything
# Read only for costs; read only by commands that change a box.
_COSTS = frozenset({"volumes", "images", "snapshots", "spot_requests"})
_MEANS = frozenset({"key_pair", "role", "spot_requests"})
# Skipped reads; their fields of an Observed stay empty.
_SKIPPED: Mapping[Need, frozenset[str]] = {
    "up": _COSTS | {"in_use"},
    "stop": _COSTS | {"in_use"},
    "status": _MEANS | {"in_use"},
    "enter": _COSTS | _MEANS | {"deadline", "relaunched", "in_use"},
}


def observe(cloud: Cloud, *, need: Need = "everything") -> Observed:
    """need: "plan" and "up" also look up this laptop's public address. "stop" waits only for EC2, and a few
    seconds for IAM and Scheduler; what these do not answer counts as unread.

    Resources that this process just created are included even if AWS does not show them yet. Raises
    CredentialsError, PermissionDenied, CloudUnreachable.
    """
    skipped = _skipped(cloud, need)
    seen = cloud.made.complete(cloud.box, _observe(cloud, need, skipped))
    if not skipped:
        last_seen.note_left(cloud, seen)
    return seen


def _observe(cloud: Cloud, need: Need, skipped: Collection[str]) -> Observed:
    region = cloud.region  # raises a clear error before any thread starts
    reads = {name: read for name, read in _reads(cloud, brisk=need == "stop").items() if name not in skipped}
    if need in ("plan", "up") and cloud.config.network.allow_ssh_from is None:
        reads["caller"] = lambda: {"caller": caller_address()}
    if need in ("up", "status"):
        memory = cloud.elsewhere(region, box="all").memory("reminded")
        if reminder.is_due(memory):
            reads["others"] = lambda: {"others": _to_remind(cloud, memory)}
    expected = last_seen.expected(cloud) if need == "up" and skipped else ANYTHING
    if client.MEANWHILE and (services := _NEEDED_NEXT.get(expected.state)):
        reads["clients"] = lambda: _nothing(cloud.make_clients(*services))
    first = _FIRST.get(expected.state, reads.keys())
    fields = _ask(reads, first)
    seen = Observed(region=region, **{k: v for k, v in fields.items() if k != "relaunched"})
    if expected.state == "nothing" and not seen.live:
        return seen  # creating what exists already is refused
    if expected.state == "stopped" and (instance := _stopped_by_us(seen)):
        # A placeholder in the past: `up` moves the schedule before the start, or AWS reports that it is gone.
        deadline = Deadline(instance_id=instance.id, at=instance.launched, role_arn=expected.role_arn)
        return replace(seen, deadline=seen.deadline or deadline, deadline_role_arn=expected.role_arn)
    if expected != ANYTHING:
        last_seen.note(cloud, ANYTHING)
    fields |= _ask(reads, reads.keys() - first)
    return Observed(region=region, **_with_relaunched(fields))


def _with_relaunched(fields: dict[str, Any]) -> dict[str, Any]:
    """Raises CloudError if the read of relaunched instances failed and the box has no other."""
    tagged, found = fields["instances"], fields.pop("relaunched", ())
    if isinstance(found, CloudError):
        if not any(instance.exists for instance in tagged):
            raise found
        return fields | {"relaunched_unread": found.what}
    known = {instance.id for instance in tagged}
    return fields | {"instances": tagged + tuple(i for i in found if i.id not in known)}


def _skipped(cloud: Cloud, need: Need) -> frozenset[str]:
    limited = cloud.config.limits.budget is not None or cloud.config.market != "on-demand"
    if not SKIP or (need == "up" and limited):
        return frozenset()  # a budget needs disks; a second spot request must be cancelled
    return _SKIPPED.get(need, frozenset())


# Clients to make while the requests are out, before they are needed. Makes no request.
_NEEDED_NEXT = {"nothing": ("ssm", "iam", "scheduler"), "stopped": ("scheduler",)}
# The reads that planning needs, by expected state.
_FIRST = {
    "nothing": {"instances", "caller", "clients"},
    "stopped": {"instances", "group", "caller", "clients"},
}


def _reads(cloud: Cloud, *, brisk: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """Each read returns fields of an Observed. brisk: for a stop, which needs only the instances."""
    config, ec2 = cloud.config, cloud.ec2
    optional = _if_readable if brisk else lambda read: read
    return {
        # Only this box's: a team's region may have a thousand.
        "instances": lambda: {
            "instances": tuple(one.instance for one in _listed(cloud, tags.of_box(config)))
        },
        "in_use": lambda: {"others_exist": _others_exist(cloud)},
        "relaunched": lambda: {"relaunched": _relaunched_or_why(cloud, by_key=brisk)},
        "group": optional(lambda: {"group": _read_group(ec2, config.name)}),
        "key_pair": optional(lambda: {"key_pair": _read_key_pair(ec2, config.name)}),
        "deadline": lambda: _of_deadline("deadline", lambda: read_deadline(cloud, brisk=brisk)),
        "role": lambda: (
            _of_deadline("deadline_role_arn", lambda: read_role(cloud, brisk=brisk))
            # A role from the config is not gpu-box's to remove.
            | {"deadline_role_shared": bool(config.aws.deadline_role)}
        ),
        "volumes": lambda: {"volumes": tuple(_read_volumes(ec2, config.name))},
        "images": lambda: {"images": tuple(parse_image(raw) for raw in read_images(cloud))},
        "snapshots": lambda: {"snapshots": tuple(read_snapshots(cloud))},
        "spot_requests": lambda: {"spot_requests": tuple(_read_spot_requests(ec2, config.name))},
    }


def _ask(reads: dict[str, Callable[[], dict[str, Any]]], names: Collection[str]) -> dict[str, Any]:
    """The fields of an Observed that these reads return."""
    fields: dict[str, Any] = {}
    for found in side_by_side(*(read for name, read in reads.items() if name in names)):
        whys = {
            key: fields.get(key) or found.get(key, "") for key in ("deadline_unavailable", "deadline_unread")
        }
        fields |= found | whys
    return fields


def _if_readable(read: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    def fields() -> dict[str, Any]:
        try:
            return read()
        except CredentialsError:
            raise
        except CloudError:
            return {}

    return fields


def _relaunched_or_why(cloud: Cloud, *, by_key: bool) -> tuple[Instance, ...] | CloudError:
    try:
        return read_relaunched(cloud, by_key=by_key)
    except CredentialsError:
        raise
    except CloudError as error:
        return error


def _nothing(_: object) -> dict[str, Any]:
    return {}


def _of_deadline(name: str, read: Callable[[], tuple[object, str]]) -> dict[str, Any]:
    """Marks the field as unread if AWS does not answer: finding and stopping a box needs only EC2."""
    try:
        value, unavailable = read()
    except CredentialsError:
        raise
    except CloudError as error:
        unread = f"{error.where}: {error.what}" if error.where else error.what
        return {name: None, "deadline_unread": unread}
    return {name: value, "deadline_unavailable": unavailable}


def _stopped_by_us(seen: Observed) -> Instance | None:
    """The only instance, if `gpu-box stop` ended its last session."""
    match seen.live:
        case (instance,) if instance.state is InstanceState.STOPPED and seen.group:
            asked = instance.stop_asked
            return instance if asked and asked.at >= instance.launched else None
        case _:
            return None


_ANY_BOX = {"Name": "tag-key", "Values": [tags.NAME]}
# "This value can be between 5 and 1000" (DescribeInstances, MaxResults).
_LEAST_A_PAGE, _MOST_A_PAGE = 5, 1000


def observe_all(cloud: Cloud) -> list[Listed]:
    """Every tagged box of the region, also those without a config on this laptop."""
    return _listed(cloud, [_ANY_BOX])


def _to_remind(cloud: Cloud, memory: Path) -> tuple[Listed, ...]:
    """The user's other boxes in the region that are stopped. memory: when they were read last."""
    own = {"Name": f"tag:{tags.OWNER}", "Values": [tags.owner_tag(cloud.config)]}
    stopped = {"Name": "instance-state-name", "Values": ["stopped"]}
    found = _listed(cloud, [_ANY_BOX, own, stopped])
    reminder.note(memory)
    return tuple(one for one in found if one.box != cloud.config.name)


def _others_exist(cloud: Cloud) -> bool:
    """Whether the region has another box; reads no more pages than it needs."""
    exist = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    with translated("listing boxes"):
        few = {"PageSize": _LEAST_A_PAGE}
        found = listed_instances(cloud.ec2, Filters=[_ANY_BOX, exist], PaginationConfig=few)
        return any(tags.tag_map(one).get(tags.NAME) != cloud.config.name for one in found)


def _listed(cloud: Cloud, filters: list[dict[str, Any]]) -> list[Listed]:
    try:
        with translated("listing boxes"):
            many = {"PageSize": _MOST_A_PAGE}
            raw = list(listed_instances(cloud.ec2, Filters=filters, PaginationConfig=many))
    except CredentialsError as error:
        if disabled := not_enabled(cloud, error):
            raise disabled from error
        raise
    rows = [Listed(box=tags.tag_map(i).get(tags.NAME, ""), instance=parse_instance(i)) for i in raw]
    return sorted(rows, key=lambda row: (row.box, row.instance.launched))


def observe_every_box(cloud: Cloud) -> list[Listed]:
    """`observe_all`, plus untagged instances that AWS launched by itself."""
    rows, behind = side_by_side(lambda: observe_all(cloud), lambda: boxes_behind_requests(cloud))
    missing = sorted(behind.keys() - {row.instance.id for row in rows})
    if missing:
        found = read_instances(cloud, [{"Name": "instance-id", "Values": missing}])
        rows += [Listed(box=behind[i.id], instance=i) for i in found if not i.tagged]
    return sorted(rows, key=lambda row: (row.box, row.instance.launched))


def read_instances(cloud: Cloud, filters: list[dict[str, Any]]) -> list[Instance]:
    with translated("reading instances"):
        return [parse_instance(one) for one in listed_instances(cloud.ec2, Filters=filters)]


def read_instance(cloud: Cloud, instance_id: str) -> Instance | None:
    found = read_instances(cloud, [{"Name": "instance-id", "Values": [instance_id]}])
    return found[0] if found else None


def _read_group(ec2: Any, box: str) -> SecurityGroup | None:
    with translated("reading security groups"):
        groups = ec2.describe_security_groups(Filters=tags.named(box))["SecurityGroups"]
    return security_group.parse(groups[0]) if groups else None


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
    return tags.owner_of(tags.tag_map(raw))


def _read_spot_requests(ec2: Any, box: str) -> list[SpotRequest]:
    with translated("reading spot requests"):
        raw = ec2.describe_spot_instance_requests(Filters=tags.named(box))
    found = [
        SpotRequest(
            id=r["SpotInstanceRequestId"], state=r["State"], instance_id=r.get("InstanceId"), owner=_owner(r)
        )
        for r in raw["SpotInstanceRequests"]
    ]
    return [request for request in found if request.exists]


def read_images(cloud: Cloud) -> list[dict[str, Any]]:
    """Images of the box's disk, the newest first."""
    with translated("reading images"):
        found: list[dict[str, Any]] = cloud.ec2.describe_images(
            Owners=["self"], Filters=tags.of_box(cloud.config)
        )["Images"]
    return sorted(found, key=lambda raw: str(raw.get("CreationDate", "")), reverse=True)


def image_created(raw: dict[str, Any]) -> datetime:
    """Aware, UTC. Now, if the image is too new to have a date, or it cannot be read."""
    return answers.moment(raw.get("CreationDate", "")) or datetime.now(UTC)


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
        owner=tags.owner_of(values),
    )


def read_snapshots(cloud: Cloud) -> list[Snapshot]:
    with translated("reading snapshots"):
        filters = tags.of_box(cloud.config)
        found = list(listed(cloud.ec2, "describe_snapshots", OwnerIds=["self"], Filters=filters))
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
        raw = list(listed(ec2, "describe_volumes", Filters=tags.named(box)))
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
