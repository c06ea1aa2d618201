"""The deadline: a one-time schedule on AWS's side that stops the instance, whatever the box does.

EventBridge Scheduler calls EC2's StopInstances with a role that may stop gpu-box's instances in this region
and nothing else (infra/deadline-role.json). All boxes of a region share it, so that only the first `up` there
waits until IAM's new role can be assumed. The deadline needs nothing of the box: not its kernel, not its
network, not gpu-box.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from string import Template
from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws import tags
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.errors import DENIED_CODES, code_of, translated
from gpu_box.errors import CloudError, CloudUnreachable, PermissionDenied
from gpu_box.model.observed import Deadline
from gpu_box.polling import attempts
from gpu_box.resources import infra

NOT_OFFERED = "EventBridge Scheduler is not offered in this region"
_TARGET = "arn:aws:scheduler:::aws-sdk:ec2:stopInstances"
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
# And the owner's name. AWS takes 512 characters (EventBridge Scheduler API reference, CreateSchedule).
_DESCRIPTION = "Stops the gpu-box of "
_POLICY_NAME = "stop-boxes"
# A new role cannot be assumed at once. Mostly it takes 10 s; two minutes have been seen, and Terraform's
# provider waits that long (propagationTimeout in its iam package).
_ROLE_WAIT_S, _ROLE_POLL_S, _ROLE_POLL_MOST_S = 180.0, 1.0, 5.0
ROUND_WAIT_S = 15.0  # of a round of `up`; then the arming goes on beside the set-up (`box.late_deadline`)


class RoleNotAccepted(CloudError):
    """AWS cannot assume the role yet."""


def read_deadline(cloud: Cloud, *, brisk: bool = False) -> tuple[Deadline | None, str]:
    """The schedule, or None; and why none can be armed, or "". Raises CloudError.

    brisk: as for `Cloud.client`.
    """
    scheduler = cloud.client("scheduler", brisk=brisk)
    try:
        with translated("reading the deadline"):
            try:
                raw = scheduler.get_schedule(Name=tags.resource_name(cloud.config))
            except scheduler.exceptions.ResourceNotFoundException:
                return None, ""
            except ClientError as error:
                if code_of(error) in DENIED_CODES:
                    return None, "your AWS user may not read schedules (scheduler:GetSchedule)"
                raise
    except CloudUnreachable:
        # Where a region has no Scheduler, its name does not resolve.
        if not cloud.is_offered("scheduler"):
            return None, NOT_OFFERED
        raise
    return parse_schedule(raw), ""


def parse_schedule(raw: dict[str, Any]) -> Deadline:
    """raw: of GetSchedule. One that was changed by hand and stops no box is `broken`; `up` arms it anew."""
    target = raw.get("Target") or {}
    role_arn = str(target.get("RoleArn", ""))
    try:
        if raw.get("State", "ENABLED") != "ENABLED":
            raise ValueError(f"it is {raw['State']}")
        if target.get("Arn") != _TARGET:
            raise ValueError("it calls something else than StopInstances")
        window = (raw.get("FlexibleTimeWindow") or {}).get("Mode", "OFF")
        if window != "OFF":
            raise ValueError("it may come later than its time (a flexible time window)")
        at = _parse_at(raw.get("ScheduleExpression", ""), raw.get("ScheduleExpressionTimezone", "UTC"))
        return Deadline(instance_id=_parse_input(target.get("Input", "")), at=at, role_arn=role_arn)
    except ValueError as error:
        broken = f"its schedule {raw.get('Name', '')} was changed by hand: {error}"
        return Deadline(instance_id="", at=_LONG_AGO, role_arn=role_arn, broken=broken)


def _parse_input(text: str) -> str:
    """The one instance. Anything else in it, such as `DryRun`, was not written by `arm`."""
    match _json(text):
        case {"InstanceIds": [str(instance_id)], **more} if not more:
            return instance_id
    raise ValueError("its input is not one instance")


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def read_owner(cloud: Cloud, name: str) -> str:
    """Whose box this schedule stops, as `arm` wrote it; "" if it does not say. Raises CloudError."""
    scheduler = cloud.client("scheduler")
    with translated("reading a deadline"):
        try:
            described = str(scheduler.get_schedule(Name=name).get("Description", ""))
        except scheduler.exceptions.ResourceNotFoundException:
            return ""
    return described.removeprefix(_DESCRIPTION) if described.startswith(_DESCRIPTION) else ""


def read_role(cloud: Cloud, *, brisk: bool = False) -> tuple[str | None, str]:
    """The role's ARN, or None; and why it cannot be read, or "". brisk: as for `Cloud.client`."""
    iam = cloud.client("iam", brisk=brisk)
    with translated("reading the deadline's role"):
        try:
            role = iam.get_role(RoleName=tags.role_name(cloud.region))["Role"]
        except iam.exceptions.NoSuchEntityException:
            return None, ""
        except ClientError as error:
            if code_of(error) in DENIED_CODES:
                return None, "your AWS user may not read roles (iam:GetRole)"
            raise
    return str(role["Arn"]), ""


def create_role(cloud: Cloud) -> str:
    """Make the role, or find it made, and permit it one thing. Returns its ARN. Raises PermissionDenied."""
    iam, name = cloud.client("iam"), tags.role_name(cloud.region)
    with translated("making the deadline's role"):
        try:
            arn = iam.create_role(
                RoleName=name,
                Description=f"Lets EventBridge Scheduler stop the instances of gpu-box in {cloud.region}",
                AssumeRolePolicyDocument=_document(cloud, "trust"),
                Tags=tags.role_tags(cloud.region),
            )["Role"]["Arn"]
        except iam.exceptions.EntityAlreadyExistsException:
            arn = iam.get_role(RoleName=name)["Role"]["Arn"]
        _permit(cloud)
    return str(arn)


def _permit(cloud: Cloud) -> None:
    cloud.client("iam").put_role_policy(
        RoleName=tags.role_name(cloud.region),
        PolicyName=_POLICY_NAME,
        PolicyDocument=_document(cloud, "permissions"),
    )


def _permit_if_allowed(cloud: Cloud) -> None:
    """For a schedule that was armed before: who may not write to IAM can move it all the same."""
    try:
        _permit(cloud)
    except ClientError as error:
        if code_of(error) not in DENIED_CODES:
            raise


def _document(cloud: Cloud, name: str) -> str:
    text = Template(infra("deadline-role.json").read_text(encoding="utf-8")).substitute(region=cloud.region)
    return json.dumps(json.loads(text)[name])


def delete_role(cloud: Cloud) -> bool:
    """False, and it is kept, if schedules of other boxes use it. Raises CloudError."""
    if _others_armed(cloud):
        return False
    iam, name = cloud.client("iam"), tags.role_name(cloud.region)
    gone = iam.exceptions.NoSuchEntityException
    with translated("removing the deadline's role"):
        with suppress(gone):
            iam.delete_role_policy(RoleName=name, PolicyName=_POLICY_NAME)
        with suppress(gone):
            iam.delete_role(RoleName=name)
    if _others_armed(cloud):  # another `up` was quicker; its schedule names the role
        create_role(cloud)
        return False
    return True


def _others_armed(cloud: Cloud) -> bool:
    """Whether there are schedules of other boxes in the region, as far as AWS tells: else there may be."""
    scheduler, own = cloud.client("scheduler"), tags.resource_name(cloud.config)
    try:
        with translated("reading the region's deadlines"):
            pages = scheduler.get_paginator("list_schedules").paginate(NamePrefix="gpu-box-")
            return any(one["Name"] != own for page in pages for one in page["Schedules"])
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
    """Make or move the schedule. Waits until a role that is new can be assumed. Raises CloudError.

    exists: whether one was seen for this instance, and so a role that may stop it. ready: whether
    the role was just permitted to. wait_s: after which RoleNotAccepted is raised. waiting: called before each
    wait.
    """
    scheduler = cloud.client("scheduler")
    settings: dict[str, Any] = {
        "Name": tags.resource_name(cloud.config),
        "Description": _DESCRIPTION + tags.owner_tag(cloud.config),
        "ScheduleExpression": f"at({at.astimezone(UTC):%Y-%m-%dT%H:%M:%S})",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        # Kept after it fired, so that `status` can say that it did; the next `up` moves it.
        "ActionAfterCompletion": "NONE",
        "State": "ENABLED",
        "Target": {
            "Arn": _TARGET,
            "RoleArn": role_arn,
            "Input": json.dumps({"InstanceIds": [instance_id]}),
            "RetryPolicy": {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400},
        },
    }
    with translated("arming the deadline"):
        # The role of a killed `up`, or one changed by hand, may lack its permission: grant it again.
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
        f"EventBridge Scheduler does not accept the new role {tags.role_name(cloud.region)} yet",
        where="arming the deadline",
        remedy="Run `gpu-box up` again in a few minutes.",
    )


def _require_role(cloud: Cloud) -> None:
    """NoSuchEntity if the role is gone: a `down` of what was the region's last box may have removed it."""
    try:
        cloud.client("iam").get_role(RoleName=tags.role_name(cloud.region))
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
        if found and zone in ("UTC", "Etc/UTC"):
            return datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    except ValueError:
        pass
    raise ValueError(f"its time is {expression!r} in {zone}")
