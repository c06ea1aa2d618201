"""The deadline: a one-time schedule in AWS that stops the instance whatever the box does.

EventBridge Scheduler calls EC2's StopInstances with a role that may only stop gpu-box's instances in this
region (infra/deadline-role.json). All boxes of a region share the role, so that only the first `up` there
waits until IAM's new role can be assumed. The deadline depends on nothing on the box: not its kernel, its
network or gpu-box.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws import permissions, tags
from gpu_box.aws.answers import listed
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.errors import code_of, translated
from gpu_box.aws.refused_access import DENIED_CODES
from gpu_box.errors import CloudError, CloudUnreachable, PermissionDenied
from gpu_box.model.observed import Deadline
from gpu_box.polling import attempts

NOT_OFFERED = "EventBridge Scheduler is not offered in this region"
# EventBridge Scheduler User Guide, "Using universal targets". The partition is the region's.
_TARGET = re.compile(r"arn:aws[a-z-]*:scheduler:::aws-sdk:ec2:stopInstances")
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
# Followed by the owner's name. The limit is 512 characters (EventBridge Scheduler API reference,
# CreateSchedule).
_DESCRIPTION = "Stops the gpu-box of "
# A new role cannot be assumed at once: mostly it takes 10 s, but two minutes have been observed, and
# Terraform's provider waits that long (propagationTimeout in its iam package).
_ROLE_WAIT_S, _ROLE_POLL_S, _ROLE_POLL_MOST_S = 180.0, 1.0, 5.0
ROUND_WAIT_S = 15.0  # in a round of `up`; arming then continues during set-up (`box.late_deadline`)


class RoleNotAccepted(CloudError):
    """AWS cannot assume the role yet."""


def read_deadline(cloud: Cloud, *, brisk: bool = False) -> tuple[Deadline | None, str]:
    """The schedule or None, and why none can be armed or "". Raises CloudError.

    brisk: as for `Cloud.client`.
    """
    scheduler = cloud.client("scheduler", brisk=brisk)
    try:
        with translated("reading the deadline"):
            try:
                raw = scheduler.get_schedule(Name=tags.resource_name(cloud.config))
            except scheduler.exceptions.ResourceNotFoundException:
                return None, ""
    except PermissionDenied as error:
        return None, error.what
    except CloudUnreachable:
        # The service's host name does not resolve in a region without it.
        if not cloud.is_offered("scheduler"):
            return None, NOT_OFFERED
        raise
    return parse_schedule(raw), ""


def parse_schedule(raw: dict[str, Any]) -> Deadline:
    """raw: from GetSchedule. A schedule that stops no box after a change by hand is `broken`."""
    target = raw.get("Target") or {}
    role_arn = str(target.get("RoleArn", ""))
    try:
        if raw.get("State", "ENABLED") != "ENABLED":
            raise ValueError(f"it is {raw['State']}")
        if not _TARGET.fullmatch(str(target.get("Arn", ""))):
            raise ValueError("it does not call StopInstances")
        window = (raw.get("FlexibleTimeWindow") or {}).get("Mode", "OFF")
        if window != "OFF":
            raise ValueError("it may fire late (a flexible time window)")
        at = _parse_at(raw.get("ScheduleExpression", ""), raw.get("ScheduleExpressionTimezone", "UTC"))
        return Deadline(instance_id=_parse_input(target.get("Input", "")), at=at, role_arn=role_arn)
    except ValueError as error:
        broken = f"its schedule {raw.get('Name', '')} was changed by hand: {error}"
        return Deadline(instance_id="", at=_LONG_AGO, role_arn=role_arn, broken=broken)


def _parse_input(text: str) -> str:
    """The one instance. Other content, such as `DryRun`, was not written by `arm`."""
    with suppress(ValueError):
        match json.loads(text):
            case {"InstanceIds": [str(instance_id)], **more} if not more:
                return instance_id
    raise ValueError("its input is not one instance")


def read_owner(cloud: Cloud, name: str) -> str:
    """The owner of the schedule's box, as `arm` wrote it, or "". Raises CloudError."""
    scheduler = cloud.client("scheduler")
    with translated("reading a deadline"):
        try:
            described = str(scheduler.get_schedule(Name=name).get("Description", ""))
        except scheduler.exceptions.ResourceNotFoundException:
            return ""
    return described.removeprefix(_DESCRIPTION) if described.startswith(_DESCRIPTION) else ""


def read_role(cloud: Cloud, *, brisk: bool = False) -> tuple[str | None, str]:
    """The role's ARN or None, and why the deadline cannot be armed with it or "".

    A role from the config is used even if it cannot be read. brisk: as for `Cloud.client`.
    """
    iam, given = cloud.client("iam", brisk=brisk), cloud.config.aws.deadline_role
    try:
        with translated("reading the deadline's role"):
            try:
                role = iam.get_role(RoleName=_role_name(cloud))["Role"]
            except iam.exceptions.NoSuchEntityException:
                return None, f"aws.deadline_role: there is no role {given}" if given else ""
    except PermissionDenied as error:
        return (given, "") if given else (None, error.what)
    if given and role["Arn"] != given:
        return None, f"aws.deadline_role: there is no role {given}, but {role['Arn']}"
    if given and not permissions.lets_scheduler_assume(role.get("AssumeRolePolicyDocument")):
        return None, f"aws.deadline_role: {given} does not let {permissions.SCHEDULER} assume it"
    return str(role["Arn"]), ""


def _role_name(cloud: Cloud) -> str:
    given = cloud.config.aws.deadline_role
    return given.rpartition("/")[2] if given else tags.role_name(cloud.region)


def create_role(cloud: Cloud) -> str:
    """Create the role if needed, and grant its permission. Returns its ARN. Raises PermissionDenied.

    A role from the config is not created.
    """
    if cloud.config.aws.deadline_role:
        arn, why = read_role(cloud)
        if arn is None:
            raise PermissionDenied(why, where="reading the deadline's role")
        return arn
    iam, name, config = cloud.client("iam"), tags.role_name(cloud.region), cloud.config
    limit = config.aws.permissions_boundary
    with translated("creating the deadline's role"):
        try:
            arn = iam.create_role(
                RoleName=name,
                Path=config.aws.role_path,
                Description=f"Lets EventBridge Scheduler stop the instances of gpu-box in {cloud.region}",
                AssumeRolePolicyDocument=json.dumps(_documents(cloud)[0]),
                Tags=tags.role_tags(config, cloud.region),
                **({"PermissionsBoundary": limit} if limit else {}),
            )["Role"]["Arn"]
        except iam.exceptions.EntityAlreadyExistsException:
            arn = iam.get_role(RoleName=name)["Role"]["Arn"]
        _permit(cloud)
    return str(arn)


def _permit(cloud: Cloud) -> None:
    if cloud.config.aws.deadline_role:
        return
    cloud.client("iam").put_role_policy(
        RoleName=tags.role_name(cloud.region),
        PolicyName=permissions.POLICY_NAME,
        PolicyDocument=json.dumps(_documents(cloud)[1]),
    )


def _permit_if_allowed(cloud: Cloud) -> None:
    """For an armed schedule, which can be moved without permission to write to IAM."""
    try:
        _permit(cloud)
    except ClientError as error:
        if code_of(error) not in DENIED_CODES:
            raise


def _documents(cloud: Cloud) -> tuple[dict[str, Any], dict[str, Any]]:
    return permissions.role_documents(cloud.partition, region=cloud.region)


def delete_role(cloud: Cloud) -> bool:
    """Delete the role, unless other boxes' schedules use it; then return False. Raises CloudError."""
    if _others_armed(cloud):
        return False
    iam, name = cloud.client("iam"), tags.role_name(cloud.region)
    gone = iam.exceptions.NoSuchEntityException
    with translated("removing the deadline's role"):
        with suppress(gone):
            iam.delete_role_policy(RoleName=name, PolicyName=permissions.POLICY_NAME)
        with suppress(gone):
            iam.delete_role(RoleName=name)
    if _others_armed(cloud):  # another `up` has just armed a schedule with it
        create_role(cloud)
        return False
    return True


def _others_armed(cloud: Cloud) -> bool:
    """Whether the region has other boxes' schedules; True if that cannot be read."""
    scheduler, own = cloud.client("scheduler"), tags.resource_name(cloud.config)
    try:
        with translated("reading the region's deadlines"):
            schedules = listed(scheduler, "list_schedules", NamePrefix="gpu-box-")
            return any(one["Name"] != own for one in schedules)
    except (CloudUnreachable, PermissionDenied):
        return cloud.is_offered("scheduler")


def arm(
    cloud: Cloud,
    *,
    instance_id: str,
    at: datetime,
    role_arn: str,
    exists: bool = False,
    ready: bool = False,
    wait_s: float = _ROLE_WAIT_S,
    waiting: Callable[[], None] = lambda: None,
) -> None:
    """Create or move the schedule, and wait until a new role can be assumed. Raises CloudError.

    exists: this instance has a schedule, and so a role that may stop it. ready: the role was just given its
    permission. wait_s: after this time RoleNotAccepted is raised. waiting: called before each wait.
    """
    scheduler = cloud.client("scheduler")
    settings: dict[str, Any] = {
        "Name": tags.resource_name(cloud.config),
        "Description": _DESCRIPTION + tags.owner_tag(cloud.config),
        "ScheduleExpression": f"at({at.astimezone(UTC):%Y-%m-%dT%H:%M:%S})",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        # Kept after it fired, so that `status` can report it; the next `up` moves it.
        "ActionAfterCompletion": "NONE",
        "State": "ENABLED",
        "Target": {
            "Arn": f"arn:{cloud.partition}:scheduler:::aws-sdk:ec2:stopInstances",
            "RoleArn": role_arn,
            "Input": json.dumps({"InstanceIds": [instance_id]}),
            "RetryPolicy": {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400},
        },
    }
    with translated("arming the deadline"):
        # An interrupted `up`, or a change by hand, may have left the role without its permission: grant it
        # again.
        if exists:
            with suppress(scheduler.exceptions.ResourceNotFoundException):
                side_by_side(lambda: scheduler.update_schedule(**settings), lambda: _permit_if_allowed(cloud))
                return
        if not ready:
            _permit(cloud)
        for _ in attempts(wait_s, every_s=_ROLE_POLL_S, at_most_s=_ROLE_POLL_MOST_S):
            try:
                try:
                    scheduler.create_schedule(**settings)
                except scheduler.exceptions.ConflictException:
                    scheduler.update_schedule(**settings)
                return
            except scheduler.exceptions.ValidationException as error:
                if "assume" not in str(error):
                    raise
                waiting()
                _require_role(cloud)
    raise RoleNotAccepted(
        f"EventBridge Scheduler does not accept the role {_role_name(cloud)} yet",
        where="arming the deadline",
        remedy="Run `gpu-box up` again in a few minutes.",
    )


def _require_role(cloud: Cloud) -> None:
    """Raises NoSuchEntity if the role is gone: a `down` of the region's last box may have removed it."""
    try:
        cloud.client("iam").get_role(RoleName=_role_name(cloud))
    except ClientError as error:
        if code_of(error) not in DENIED_CODES:
            raise


def disarm(cloud: Cloud) -> None:
    scheduler = cloud.client("scheduler")
    with translated("removing the deadline"), suppress(scheduler.exceptions.ResourceNotFoundException):
        scheduler.delete_schedule(Name=tags.resource_name(cloud.config))


def _parse_at(expression: str, zone: str) -> datetime:
    """ "at(2026-11-23T21:10:00)" in UTC, as `arm` writes it."""
    found = _AT.fullmatch(expression)
    try:
        if found and zone in ("UTC", "Etc/UTC") and int(found[1][:4]) < 2200:
            return datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    except ValueError:
        pass
    raise ValueError(f"its time is {expression!r} in {zone}")
