"""Do what a plan says: one function a step. Steps of a stage run side by side, stages one after another.

Every one may be run again after a crash, or by another laptop at the same time: creates are idempotent by
name or ClientToken, deletes of what is gone are done, and whatever turned out different ends the round
(`Raced`), so that the caller observes again instead of guessing. What AWS answers is an observation, too:
where the answers tell all that a round has changed, nobody has to look again.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial, singledispatch
from itertools import groupby
from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws import deadline, requests, security_group
from gpu_box.aws import tags as naming
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.console import read_console_record
from gpu_box.aws.errors import code_of, translated
from gpu_box.aws.launch import run_instance
from gpu_box.aws.observe import parse_image, read_images, read_instance, read_snapshots
from gpu_box.aws.security_group import ssh_permission
from gpu_box.errors import CapacityError, CloudError, PermissionDenied
from gpu_box.model import spending
from gpu_box.model.observed import Cidr, Deadline, Instance, InstanceState, KeyPair, Observed, SecurityGroup
from gpu_box.model.progress import Reporter
from gpu_box.plan import steps as s
from gpu_box.units import format_duration

# Seconds. EC2 says `running` within half a minute or so; `stopped` can take minutes.
_WAIT_S = {InstanceState.RUNNING: 300, InstanceState.STOPPED: 900, InstanceState.TERMINATED: 900}
_POLL_FIRST_S, _POLL_MAX_S = 0.25, 3.0
_GROUP_IN_USE_S = 15.0  # a round; a few rounds are two minutes
_IMAGE_S, _IMAGE_POLL_S = 4 * 3600.0, 15.0  # a first snapshot of 100 GiB takes a quarter of an hour or so
_GROWING_S = 60.0  # a modification takes effect within seconds
_TOO_SOON = frozenset({"VolumeModificationRateExceeded", "IncorrectModificationState"})
_INTERRUPTED = "IncorrectSpotRequestState"


class Raced(Exception):
    """What was planned for is no longer so: observe again."""


@dataclass
class Work:
    """What the steps of one round share: what was observed, with what AWS has answered since."""

    cloud: Cloud
    report: Reporter
    observed: Observed
    whole: bool = True  # whether `observed` has all that was changed
    lock: threading.Lock = field(default_factory=threading.Lock)

    def know(self, **changes: Any) -> None:
        with self.lock:
            self.observed = replace(self.observed, **changes)

    def know_instance(self, instance_id: str, **changes: Any) -> None:
        for one in self.observed.instances:
            if one.id == instance_id:
                self.see(replace(one, **changes))

    def see(self, instance: Instance) -> None:
        """In place of what was known of it."""
        with self.lock:
            others = (one for one in self.observed.instances if one.id != instance.id)
            self.observed = replace(self.observed, instances=(*others, instance))


def act(cloud: Cloud, steps: Sequence[s.Step], report: Reporter, observed: Observed) -> tuple[Observed, bool]:
    """Execute the steps. Returns what is now, as far as AWS's answers tell, and whether they tell all of it.

    observed: what the steps were planned from. Raises CloudError and its kinds for what AWS refuses; a race
    with another `up` ends the round quietly.
    """
    work = Work(cloud, report, observed)
    ordered = sorted(steps, key=lambda step: step.stage)
    try:
        for _, stage in groupby(ordered, key=lambda step: step.stage):
            side_by_side(*(partial(_reported, work, step) for step in stage))
    except Raced as raced:
        report.note(f"{raced}; looking again")
        time.sleep(_POLL_FIRST_S)
        work.whole = False
    return work.observed, work.whole


def _reported(work: Work, step: s.Step) -> None:
    work.report.start(step.title, str(step))
    try:
        line = _do(step, work)
    except Exception:
        work.report.failed(step.title, str(step))
        raise
    if not isinstance(step, _ANSWERED):
        work.whole = False
    work.report.done(step.title, line or str(step))


@singledispatch
def _do(step: s.Step, work: Work) -> str | None:
    """Execute one step; the line to show for it, where that says more than the step itself."""
    raise NotImplementedError(type(step).__name__)


@_do.register
def _(step: s.ImportKeyPair, work: Work) -> None:
    config = work.cloud.config
    with translated("importing the key pair"):
        try:
            made = work.cloud.ec2.import_key_pair(**requests.key_pair(config, step.public_key))
        except ClientError as error:
            _race_if(error, "InvalidKeyPair.Duplicate", "the key pair is there already")
    pair = KeyPair(id=made["KeyPairId"], name=made["KeyName"], public_key=step.public_key)
    work.know(key_pair=pair)


@_do.register
def _(step: s.ReplaceKeyPair, work: Work) -> None:
    _delete(work, "replacing the key pair", "delete_key_pair", KeyName=step.key_name)
    _do(s.ImportKeyPair(public_key=step.public_key), work)


@_do.register
def _(step: s.CreateSecurityGroup, work: Work) -> None:
    config, ec2 = work.cloud.config, work.cloud.ec2
    request = requests.security_group(config, vpc_id=step.vpc_id, generation=step.generation)
    with translated("making the security group"):
        try:
            group_id = ec2.create_security_group(**request)["GroupId"]
        except ClientError as error:
            _race_if(error, "InvalidGroup.Duplicate", "the security group is there already")
    _allow(work, group_id, step.ssh_from)
    group = SecurityGroup(id=group_id, generation=step.generation, ssh_from=frozenset(step.ssh_from))
    work.know(group=group)


@_do.register
def _(step: s.AllowSsh, work: Work) -> None:
    # Allowed before revoked: at no moment is the one who is working locked out.
    _allow(work, step.group_id, step.allow)
    if step.revoke:
        with translated("closing port 22 to an old address"):
            try:
                work.cloud.ec2.revoke_security_group_ingress(
                    GroupId=step.group_id, IpPermissions=ssh_permission(step.revoke)
                )
            except ClientError as error:
                if code_of(error) != "InvalidPermission.NotFound":
                    raise
    group = work.observed.group
    if group:
        admitted = (group.ssh_from | set(step.allow)) - set(step.revoke)
        work.know(group=replace(group, ssh_from=admitted))


@_do.register
def _(step: s.RemoveForeignRules, work: Work) -> None:
    ec2 = work.cloud.ec2
    with translated("removing rules of the security group"):
        found = ec2.describe_security_groups(Filters=naming.of_box(work.cloud.config))["SecurityGroups"]
        for raw in found:
            # What was added since was not consented to.
            shown = [
                permission
                for permission, line in security_group.foreign_rules(raw)
                if line in step.rules and raw["GroupId"] == step.group_id
            ]
            if shown:
                ec2.revoke_security_group_ingress(GroupId=step.group_id, IpPermissions=shown)


@_do.register
def _(step: s.CreateDeadlineRole, work: Work) -> str | None:
    try:
        work.know(deadline_role_arn=deadline.create_role(work.cloud), deadline_role_ready=True)
    except PermissionDenied as error:
        work.know(deadline_unavailable="your AWS user may not make roles")
        work.report.note(
            f"NOT ARMED: the AWS-side deadline ({error.what}). The box still stops itself; "
            "to arm the deadline too, ask for the role permissions in infra/operator-policy.json."
        )
        return "deadline role: not permitted; the other layers stop the box"
    return None


@_do.register
def _(step: s.RunInstance, work: Work) -> str:
    group = work.observed.group
    if group is None:
        raise Raced("the security group is not there yet")
    launched = run_instance(work.cloud, step, group_id=group.id, report=work.report)
    if launched is None:
        raise Raced("another `up` launched, or this launch was answered before")
    work.see(launched)
    if launched.market == "spot":
        work.whole = False  # a request was made, too
    return f"instance {launched.id}: {launched.type} in {launched.zone}"


@_do.register
def _(step: s.ArmDeadline, work: Work) -> str | None:
    role_arn = work.observed.deadline_role_arn
    if role_arn is None:
        return "deadline: not armed (no role)"
    try:
        deadline.arm(
            work.cloud,
            instance_id=step.instance_id,
            at=step.at,
            role_arn=role_arn,
            exists=step.exists,
            ready=work.observed.deadline_role_ready,
        )
    except PermissionDenied as error:
        work.know(deadline_unavailable="your AWS user may not make schedules")
        work.report.note(f"NOT ARMED: the AWS-side deadline ({error.what}). The box still stops itself.")
        return "deadline: not permitted; the other layers stop the box"
    except CloudError as error:
        # Of a schedule that is only moved, AWS checks its role again.
        if error.code == "NoSuchEntity" or (step.exists and error.code == "ValidationException"):
            raise Raced("the deadline's role is gone") from error
        raise
    work.know(deadline=Deadline(instance_id=step.instance_id, at=step.at, role_arn=role_arn))
    return None


@_do.register
def _(step: s.StartInstance, work: Work) -> None:
    try:
        with translated(f"starting {step.instance_id}"):
            work.cloud.ec2.start_instances(InstanceIds=[step.instance_id])
    except CloudError as error:
        if error.code == _INTERRUPTED:
            # "Only Amazon EC2 can restart an interrupted stopped Spot Instance" (EC2 User Guide).
            raise CapacityError(
                "AWS took this spot instance back, and starts it by itself once it has capacity; "
                "nothing was lost",
                code=error.code,
                remedy="`gpu-box up --wait 1h` waits for it.",
            ) from error
        if error.code == "IncorrectInstanceState":
            raise Raced(f"{step.instance_id} is no longer stopped") from error
        if not isinstance(error, CapacityError):
            raise
        # Its disk is in this zone: another instance elsewhere would come up without the work on it.
        raise CapacityError(
            f"AWS has no {step.type} left in {step.zone}, where the box's disk is ({error.code}); "
            "nothing was lost",
            code=error.code,
            remedy="`gpu-box up --wait 1h` goes on asking until there is one, `gpu-box resize TYPE` takes "
            "another type, `gpu-box move` takes the box to another zone with its disk.",
        ) from error
    work.know_instance(step.instance_id, state=InstanceState.PENDING)


@_do.register
def _(step: s.StopInstance, work: Work) -> None:
    with translated(f"stopping {step.instance_id}"):
        try:
            work.cloud.ec2.stop_instances(InstanceIds=[step.instance_id])
        except ClientError as error:
            # It is on its way down by another hand: what remains is to wait for it.
            if code_of(error) != "IncorrectInstanceState":
                raise
    # Only so that `why` can tell it from other hands: a meter that is off matters more than who stopped it.
    asked = f"{datetime.now(UTC).isoformat(timespec='seconds')} {naming.owner(work.cloud.config)}"
    with suppress(CloudError):
        tag_instance(
            work.cloud, step.instance_id, {naming.STOP: naming.tag_value(asked)}, "noting who stopped it"
        )
    work.know_instance(step.instance_id, state=InstanceState.STOPPING)


@_do.register
def _(step: s.CancelSpotRequest, work: Work) -> None:
    _delete(
        work,
        f"cancelling {step.request_id}",
        "cancel_spot_instance_requests",
        SpotInstanceRequestIds=[step.request_id],
    )


@_do.register
def _(step: s.NoteResize, work: Work) -> None:
    tag_instance(work.cloud, step.instance_id, {naming.RESIZING: step.type}, "noting the resize")


@_do.register
def _(step: s.ChangeType, work: Work) -> None:
    with translated(f"changing the type of {step.instance_id}"):
        work.cloud.ec2.modify_instance_attribute(
            InstanceId=step.instance_id, InstanceType={"Value": step.type}
        )


@_do.register
def _(step: s.NoteExtend, work: Work) -> None:
    value = " ".join(at.isoformat(timespec="seconds") for at in step.moving or ())
    tag_instance(work.cloud, step.instance_id, {naming.EXTENDING: value}, "noting where the deadline moves")


@_do.register
def _(step: s.NoteLimits, work: Work) -> None:
    tag_instance(work.cloud, step.instance_id, {naming.LIMITS: step.value}, "noting the limits")
    work.know_instance(step.instance_id, limits=step.value)


@_do.register
def _(step: s.NoteBake, work: Work) -> None:
    value = "yes" if step.on else ""
    tag_instance(work.cloud, step.instance_id, {naming.BAKING: value}, "noting that it is baked")


@_do.register
def _(step: s.NoteMoved, work: Work) -> None:
    tag_instance(work.cloud, step.instance_id, {naming.MOVED_FROM: ""}, "noting that it has moved")


@_do.register
def _(step: s.CreateImage, work: Work) -> None:
    config = work.cloud.config
    own = {naming.IMAGE: step.kind, naming.IMAGE_OF: step.of}
    # One name for one content: whoever asks a second time is refused, and finds the first one's.
    digest = hashlib.sha256(f"{step.kind} {step.of}".encode()).hexdigest()[:12]
    with translated(f"making an image of {step.instance_id}"):
        try:
            work.cloud.ec2.create_image(
                InstanceId=step.instance_id,
                Name=f"{naming.resource_name(config)}-{digest}",
                Description=f"gpu-box {config.name}: its disk",
                TagSpecifications=[
                    naming.tag_specification("image", config, **own),
                    naming.tag_specification("snapshot", config),
                ],
            )
        except ClientError as error:
            _race_if(error, "InvalidAMIName.Duplicate", "the image is being made already")


@_do.register
def _(step: s.WaitForImage, work: Work) -> str:
    started, poll = time.monotonic(), _POLL_FIRST_S
    while True:
        found = next((i for i in read_images(work.cloud) if i["ImageId"] == step.image_id), None)
        image = parse_image(found) if found else None
        if image is None or image.state != "pending":
            return f"image {step.image_id}: {image.state if image else 'gone'}"
        if time.monotonic() - started > _IMAGE_S:
            raise CloudError(
                f"image {step.image_id} is not finished after {_IMAGE_S / 3600:.0f} hours",
                remedy="Nothing is lost: run the command again, it goes on waiting.",
            )
        part = max((snapshot.progress for snapshot in read_snapshots(work.cloud)), default="", key=_percent)
        waited = format_duration(timedelta(seconds=time.monotonic() - started))
        work.report.update(step.title, f"image {step.image_id}: {part or 'begun'}, {waited}")
        time.sleep(poll)
        poll = min(poll * 1.5, _IMAGE_POLL_S)


def _percent(progress: str) -> int:
    digits = progress.removesuffix("%")
    return int(digits) if digits.isascii() and digits.isdigit() else 0


@_do.register
def _(step: s.DeregisterImage, work: Work) -> None:
    _delete(work, f"removing {step.image_id}", "deregister_image", ImageId=step.image_id)


@_do.register
def _(step: s.DeleteSnapshot, work: Work) -> None:
    try:
        _delete(work, f"deleting {step.snapshot_id}", "delete_snapshot", SnapshotId=step.snapshot_id)
    except CloudError as error:
        if error.code == "InvalidSnapshot.InUse":
            raise Raced(f"an image still holds {step.snapshot_id}") from error
        raise


@_do.register
def _(step: s.GrowDisk, work: Work) -> None:
    ec2 = work.cloud.ec2
    with translated("reading the disk"):
        found = ec2.describe_volumes(
            Filters=[
                {"Name": "attachment.instance-id", "Values": [step.instance_id]},
                *naming.of_box(work.cloud.config),
            ]
        )["Volumes"]
    for volume in found:
        # Larger already: an `up` that was cut before it could note it, or another one.
        if volume["Size"] < step.size_gib:
            _grow(work, volume["VolumeId"], step.size_gib)
    tag_instance(work.cloud, step.instance_id, {naming.DISK: str(step.size_gib)}, "noting the disk's size")


def _grow(work: Work, volume_id: str, size_gib: int) -> None:
    ec2 = work.cloud.ec2
    with translated(f"growing {volume_id}"):
        try:
            ec2.modify_volume(VolumeId=volume_id, Size=size_gib)
        except ClientError as error:
            if code_of(error) in _TOO_SOON:
                raise CloudError(
                    f"{volume_id} was modified within the last six hours, or is just being so",
                    where="disk.size_gib",
                    remedy="AWS takes one modification in six hours: run `gpu-box up` again later, or set "
                    "disk.size_gib back until then.",
                    code=code_of(error),
                ) from None
            raise
        give_up = time.monotonic() + _GROWING_S
        # From `optimizing` on the machine sees the new size; that goes on for hours and hinders nobody.
        while time.monotonic() < give_up:
            told = ec2.describe_volumes_modifications(VolumeIds=[volume_id])["VolumesModifications"]
            if not told or told[-1]["ModificationState"] != "modifying":
                return
            time.sleep(_POLL_FIRST_S)


@_do.register
def _(step: s.CountSession, work: Work) -> str:
    ended = step.ended or _told_end(work.cloud, step)
    days = spending.added(
        dict(step.before), spending.session_days(step.launched, ended, step.usd_hour or Decimal(0))
    )
    tags = {naming.USD_MONTH + month: value for month, value in spending.to_tags(days).items()}
    tags[naming.COUNTED] = step.launched.isoformat(timespec="seconds")
    tag_instance(work.cloud, step.instance_id, tags, "noting what the last session cost")
    spent = spending.from_tags(spending.to_tags(days).items())
    work.know_instance(step.instance_id, spent=tuple(sorted(spent.items())), spent_until=step.launched)
    return f"{step.title}: {(ended - step.launched).total_seconds() / 3600:.1f} h noted"


def _told_end(cloud: Cloud, step: s.CountSession) -> datetime:
    """When it shut itself down, as its console tells; else, at the latest, at its deadline."""
    left = read_console_record(cloud, step.instance_id)
    if left and left.at and left.at >= step.launched:
        return left.at
    now = datetime.now(UTC)
    return min(now, step.deadline) if step.deadline and step.deadline > step.launched else now


@_do.register
def _(step: s.Terminate, work: Work) -> None:
    _delete(work, f"terminating {step.instance_id}", "terminate_instances", InstanceIds=[step.instance_id])


@_do.register
def _(step: s.WaitForInstance, work: Work) -> str:
    started, poll = time.monotonic(), _POLL_FIRST_S
    while True:
        instance = read_instance(work.cloud, step.instance_id)
        state = instance.state if instance else InstanceState.TERMINATED
        if state is step.state and (
            instance is None or instance.address or state is not InstanceState.RUNNING
        ):
            at = f" at {instance.address}" if instance and state is InstanceState.RUNNING else ""
            if instance is None or not instance.exists:
                work.whole = False
            else:
                work.see(instance)
            return f"instance {step.instance_id}: {state}{at}"
        if _cannot_become(state, step.state):
            reason = f" ({instance.reason})" if instance and instance.reason else ""
            raise CloudError(
                f"instance {step.instance_id} is {state} instead of {step.state}{reason}",
                remedy="Run the command again; `gpu-box status` shows what AWS says.",
            )
        waited = time.monotonic() - started
        if waited > _WAIT_S[step.state]:
            raise CloudError(
                f"instance {step.instance_id} is still {state} after {waited / 60:.0f} minutes",
                remedy="AWS is slow today: run the command again, it goes on waiting."
                + (" It may still bill." if state.bills else ""),
            )
        work.report.update(step.title, f"instance {step.instance_id}: {state}")
        time.sleep(poll)
        poll = min(poll * 1.5, _POLL_MAX_S)


@_do.register
def _(step: s.DeleteDeadline, work: Work) -> None:
    deadline.disarm(work.cloud)


@_do.register
def _(step: s.DeleteDeadlineRole, work: Work) -> None:
    try:
        deadline.delete_role(work.cloud)
    except CloudError as error:
        if error.code == "DeleteConflict":
            raise Raced("an `up` uses the deadline's role again") from error
        raise


@_do.register
def _(step: s.DeleteKeyPair, work: Work) -> None:
    _delete(work, "removing the key pair", "delete_key_pair", KeyName=step.key_name)


@_do.register
def _(step: s.DeleteVolume, work: Work) -> None:
    _delete(work, f"deleting {step.volume_id}", "delete_volume", VolumeId=step.volume_id)


@_do.register
def _(step: s.DeleteSecurityGroup, work: Work) -> None:
    # The network interface of a terminated instance lets go of its group a little later; or another `up`
    # launched into it meanwhile, which is seen by looking again.
    give_up = time.monotonic() + _GROUP_IN_USE_S
    while True:
        try:
            return _delete(
                work, "removing the security group", "delete_security_group", GroupId=step.group_id
            )
        except CloudError as error:
            if error.code != "DependencyViolation":
                raise
            if time.monotonic() > give_up:
                raise Raced("the security group is still in use") from error
        time.sleep(1.0)


# What AWS answers to these, and what was asked, tells all that they change.
_ANSWERED = (
    s.ImportKeyPair,
    s.CreateSecurityGroup,
    s.AllowSsh,
    s.CreateDeadlineRole,
    s.RunInstance,
    s.ArmDeadline,
    s.CountSession,
    s.NoteLimits,
    s.StartInstance,
    s.StopInstance,
    s.WaitForInstance,
)


def tag_host_key(cloud: Cloud, instance_id: str, value: str) -> None:
    """Publish the machine's host key where every laptop with the account's credentials can read it."""
    tag_instance(cloud, instance_id, {naming.HOST_KEY: value}, "noting the machine's host key")


def tag_instance(cloud: Cloud, instance_id: str, tags: dict[str, str], doing: str) -> None:
    with translated(doing):
        cloud.ec2.create_tags(
            Resources=[instance_id], Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
        )


def _delete(work: Work, doing: str, operation: str, **arguments: Any) -> None:
    with translated(doing):
        call: Callable[..., Any] = getattr(work.cloud.ec2, operation)
        try:
            call(**arguments)
        except ClientError as error:
            if not code_of(error).endswith(("NotFound", "InvalidAMIID.Unavailable")):
                raise


def _allow(work: Work, group_id: str, cidrs: Sequence[Cidr]) -> None:
    if not cidrs:
        return
    with translated("opening port 22 to your address"):
        try:
            work.cloud.ec2.authorize_security_group_ingress(
                GroupId=group_id, IpPermissions=ssh_permission(cidrs)
            )
        except ClientError as error:
            if code_of(error) != "InvalidPermission.Duplicate":
                _race_if(error, "InvalidGroup.NotFound", "a `down` removed the security group")


def _race_if(error: ClientError, code: str, line: str) -> None:
    if code_of(error) == code:
        raise Raced(line) from error
    raise error


def _cannot_become(state: InstanceState, wanted: InstanceState) -> bool:
    dead = (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)
    if wanted is InstanceState.RUNNING:
        return state in (InstanceState.STOPPING, *dead)
    return wanted is InstanceState.STOPPED and state in dead
