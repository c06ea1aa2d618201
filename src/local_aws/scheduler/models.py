"""EventBridge Scheduler: moto's stores schedules; this one checks them as AWS does, and fires them.

What fires is `at(...)` with the universal target ec2:stopInstances. AWS is precise to a minute, this to a
second. Other expressions and targets are refused with a ValidationException rather than stored and never
fired.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.scheduler.exceptions import ValidationException
from moto.scheduler.models import EventBridgeSchedulerBackend, Schedule

from local_aws.ec2.extra import now
from local_aws.faults import weather
from local_aws.iam.documents import as_list, document, documents
from local_aws.iam.evaluation import Need, allows
from local_aws.scheduler import urls

_STOP = "arn:aws:scheduler:::aws-sdk:ec2:stopInstances"
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")
_PRINCIPAL = "scheduler.amazonaws.com"
_log = logging.getLogger(__name__)


class Scheduler(EventBridgeSchedulerBackend):  # type: ignore[misc]
    _url_module: Any = urls

    def create_schedule(self, **given: Any) -> Schedule:
        _check(self.account_id, self.partition, given)
        return super().create_schedule(**given)

    def update_schedule(self, *, action_after_completion: str | None = None, **given: Any) -> Schedule:
        """As with AWS, what is not given goes back to its default."""
        _check(self.account_id, self.partition, given)
        schedule = super().update_schedule(**given)
        schedule.state = given.get("state") or "ENABLED"
        schedule.action_after_completion = action_after_completion
        schedule.fired = False
        return schedule

    def fire_due(self) -> bool:
        """Do what is due. Whether anything changed."""
        due = [s for s in self._armed() if _moment(s) <= now()]
        for schedule in due:
            schedule.fired = True
            self._fire(schedule)
            if schedule.action_after_completion == "DELETE":
                self.schedule_groups[schedule.group_name].delete_schedule(schedule.name)
        return bool(due)

    def next_due(self) -> list[datetime]:
        return [_moment(s) for s in self._armed()]

    def _armed(self) -> list[Schedule]:
        return [
            schedule
            for group in self.schedule_groups.values()
            for schedule in group.schedules.values()
            if schedule.state == "ENABLED" and not getattr(schedule, "fired", False)
        ]

    def _fire(self, schedule: Schedule) -> None:
        """AWS retries what fails and then drops it without a word to anybody; here it is logged."""
        age = schedule.target.get("RetryPolicy", {}).get("MaximumEventAgeInSeconds", 86400)
        if now() - _moment(schedule) > timedelta(seconds=age):
            _log.warning("schedule %s: too late, dropped", schedule.name)
            return
        ids = json.loads(schedule.target["Input"])["InstanceIds"]
        try:
            for instance_id in ids:
                self._require_permission(schedule.target["RoleArn"], instance_id)
            ec2_backends[self.account_id][self.region_name].stop_instances(ids)
        except Exception as error:
            _log.warning("schedule %s: %s", schedule.name, error)

    def _require_permission(self, role_arn: str, instance_id: str) -> None:
        role = iam_backends[self.account_id][self.partition].get_role_by_arn(role_arn)
        arn = f"arn:{self.partition}:ec2:{self.region_name}:{self.account_id}:instance/{instance_id}"
        tags = ec2_backends[self.account_id][self.region_name].tags.get(instance_id, {})
        context = {f"aws:ResourceTag/{key}": value for key, value in tags.items()}
        if not allows(documents(role), Need("ec2:StopInstances", arn, context)):
            raise PermissionError(f"role {role_arn} may not stop {instance_id}")


def _check(account_id: str, partition: str, given: dict[str, Any]) -> None:
    expression, zone = given["schedule_expression"], given.get("schedule_expression_timezone")
    moment = _parse(expression, zone)
    if moment <= now():
        raise ValidationException(f"Invalid Schedule Expression {expression}. Date must be in the future.")
    if (given.get("flexible_time_window") or {}).get("Mode") not in ("OFF", "FLEXIBLE"):
        raise ValidationException("FlexibleTimeWindow Mode must be one of OFF, FLEXIBLE")
    if given.get("action_after_completion") not in (None, "NONE", "DELETE"):
        raise ValidationException("ActionAfterCompletion must be one of NONE, DELETE")
    target = given.get("target") or {}
    if target.get("Arn") != _STOP:
        raise ValidationException(
            f"{target.get('Arn')} is not a target of the embedded cloud: it knows {_STOP}"
        )
    try:
        ids = json.loads(target.get("Input") or "{}")["InstanceIds"]
    except (ValueError, KeyError, TypeError):
        ids = None
    if not (isinstance(ids, list) and ids and all(isinstance(i, str) for i in ids)):
        raise ValidationException('Target Input must be JSON like {"InstanceIds": ["i-..."]}')
    _check_role(account_id, partition, str(target.get("RoleArn")))


def _check_role(account_id: str, partition: str, arn: str) -> None:
    """AWS checks as the schedule is made that the role may be assumed; a new one may not for some seconds."""
    role = next((r for r in iam_backends[account_id][partition].roles.values() if r.arn == arn), None)
    known = role is not None and utcnow() - role.create_date >= weather().delay("iam")
    if role is None or not known or not _trusts_scheduler(role.assume_role_policy_document):
        raise ValidationException(
            "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
        )


def _trusts_scheduler(policy: Any) -> bool:
    statements = as_list(json.loads(document(policy)).get("Statement"))
    return any(
        statement.get("Effect") == "Allow"
        and "sts:AssumeRole" in as_list(statement.get("Action"))
        and _PRINCIPAL in as_list(statement.get("Principal", {}).get("Service"))
        for statement in statements
    )


def _parse(expression: str, zone: str | None) -> datetime:
    found = _AT.fullmatch(expression or "")
    try:
        if found is None:
            raise ValueError
        return datetime.fromisoformat(found[1]).replace(tzinfo=ZoneInfo(zone or "UTC")).astimezone(UTC)
    except ZoneInfoNotFoundError:
        raise ValidationException(f"Provided timezone {zone} is invalid.") from None
    except ValueError:
        raise ValidationException(f"Invalid Schedule Expression {expression}.") from None


def _moment(schedule: Schedule) -> datetime:
    return _parse(schedule.schedule_expression, schedule.schedule_expression_timezone)
