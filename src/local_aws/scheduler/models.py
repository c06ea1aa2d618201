"""EventBridge Scheduler: moto stores schedules; this one also checks them as AWS does, and fires them.

Only `at(...)` with the universal target ec2:stopInstances fires, to the second; AWS is precise to a minute.
Other expressions and targets are refused with a ValidationException.
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
from local_aws.iam.documents import boundary, documents
from local_aws.iam.evaluation import Need, allows
from local_aws.iam.trust import trusts
from local_aws.scheduler import urls

_STOP = "scheduler:::aws-sdk:ec2:stopInstances"  # after the partition
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")
_PRINCIPAL = "scheduler.amazonaws.com"
_log = logging.getLogger(__name__)


class Scheduler(EventBridgeSchedulerBackend):  # type: ignore[misc]
    _url_module: Any = urls

    def create_schedule(self, **given: Any) -> Schedule:
        self._check(given)
        return super().create_schedule(**given)

    def update_schedule(self, *, action_after_completion: str | None = None, **given: Any) -> Schedule:
        """As in AWS, missing parameters return to their defaults."""
        self._check(given)
        schedule = super().update_schedule(**given)
        schedule.state = given.get("state") or "ENABLED"
        schedule.action_after_completion = action_after_completion
        schedule.fired = False
        return schedule

    def _check(self, given: dict[str, Any]) -> None:
        _check(given, f"arn:{self.partition}:{_STOP}")
        self._check_role(str(given["target"].get("RoleArn")))

    def _check_role(self, arn: str) -> None:
        """Raise unless the role may be assumed, as AWS does; a new role may not be for some seconds."""
        roles = iam_backends[self.account_id][self.partition].roles.values()
        role = next((role for role in roles if role.arn == arn), None)
        settled = role is not None and utcnow() - role.create_date >= weather().delay("iam")
        if role is None or not settled or not self._is_trusted_by(role.assume_role_policy_document):
            raise ValidationException(
                "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
            )

    def _is_trusted_by(self, policy: Any) -> bool:
        """The source ARN is the schedule group's, never a schedule's ("Confused deputy prevention",
        EventBridge Scheduler User Guide).
        """
        place = f"arn:{self.partition}:scheduler:{self.region_name}:{self.account_id}"
        context = {"aws:SourceArn": f"{place}:schedule-group/default", "aws:SourceAccount": self.account_id}
        return trusts(policy, kind="Service", names=[_PRINCIPAL], context=context)

    def fire_due(self) -> bool:
        """Fire the schedules that are due. Returns whether anything changed."""
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
        """AWS retries a failed target and then drops it silently; here it is logged."""
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
        need, limit = Need("ec2:StopInstances", arn, context), boundary(role)
        if not allows(documents(role), need) or not (limit is None or allows([limit], need)):
            raise PermissionError(f"role {role_arn} may not stop {instance_id}")


def _check(given: dict[str, Any], stop: str) -> None:
    expression, zone = given["schedule_expression"], given.get("schedule_expression_timezone")
    moment = _parse(expression, zone)
    if moment <= now():
        raise ValidationException(f"Invalid Schedule Expression {expression}. Date must be in the future.")
    target = given.get("target") or {}
    if target.get("Arn") != stop:
        raise ValidationException(
            f"{target.get('Arn')} is not a target of the embedded cloud: it knows {stop}"
        )
    try:
        ids = json.loads(target.get("Input") or "{}")["InstanceIds"]
    except (ValueError, KeyError, TypeError):
        ids = None
    if not (isinstance(ids, list) and ids and all(isinstance(i, str) for i in ids)):
        raise ValidationException('Target Input must be JSON like {"InstanceIds": ["i-..."]}')


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
