"""Carry out the steps for the deadline: its role and its schedule."""

from __future__ import annotations

from gpu_box.aws import deadline
from gpu_box.aws.client import side_by_side
from gpu_box.aws.steps.work import Raced, Work
from gpu_box.errors import CloudError, CloudUnreachable, PermissionDenied
from gpu_box.model.observed import Deadline
from gpu_box.plan.deadline import REMEDY, is_set_up, refuse_without_deadline
from gpu_box.plan.steps import ArmDeadline, CreateDeadlineRole, DeleteDeadline, DeleteDeadlineRole


class NotArmed(CloudError):
    """The deadline could not be armed: AWS does not answer, or refuses it."""

    @classmethod
    def of(cls, error: CloudError) -> NotArmed:
        return cls(error.what, where=error.where, remedy=error.remedy, code=error.code)


class NotArmable(NotArmed):
    """AWS will refuse it again; the remedy is for the user."""


def create_deadline_role(step: CreateDeadlineRole, work: Work) -> str | None:
    """Make the role; if an administrator made it, check that this user may see schedules."""
    given = work.cloud.config.aws.deadline_role
    try:
        calls = [lambda: deadline.create_role(work.cloud)]
        if given:
            calls.append(lambda: _require_schedules(work))
        arn = side_by_side(*calls)[0]
        work.know(deadline_role_arn=arn, deadline_role_ready=True)
    except PermissionDenied as error:
        why = error.what if given else "your AWS user may not create roles"
        if _refuses(work):
            raise refuse_without_deadline(why) from error
        work.know(deadline_unavailable=why)
        work.report.note(f"NOT ARMED: the deadline in AWS ({error.what}). The box still stops itself.")
        return "deadline role: not permitted; the other layers stop the box"
    return f"deadline role: {given}" if given else None


def _require_schedules(work: Work) -> str:
    """Raises PermissionDenied if the user may not see schedules, or there are none in the region."""
    _, unavailable = deadline.read_deadline(work.cloud)
    if unavailable:
        raise PermissionDenied(unavailable)
    return ""


def _refuses(work: Work) -> bool:
    """Whether a box would start without AWS's deadline, and its user has not agreed to that."""
    instance = work.observed.instance
    at_work = instance is not None and instance.state.bills and is_set_up(instance)
    return not (at_work or work.cloud.config.without_deadline)


def arm_deadline(step: ArmDeadline, work: Work) -> str | None:
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
            wait_s=deadline.ROUND_WAIT_S,
            waiting=lambda: work.report.update(step.title, "deadline: AWS does not accept its new role yet"),
        )
    except deadline.RoleNotAccepted as error:
        if step.exists:
            raise Raced("the deadline's role is gone") from error
        late = Deadline(instance_id=step.instance_id, at=step.at, role_arn=role_arn)
        work.know(deadline=late, deadline_late=True)
        return "deadline: to be armed once AWS accepts its new role"
    except PermissionDenied as error:
        return _not_armed(work, "your AWS user may not create schedules", error)
    except CloudUnreachable as error:
        if work.cloud.is_offered("scheduler"):
            raise NotArmed.of(error) from error
        return _not_armed(work, deadline.NOT_OFFERED, CloudError(deadline.NOT_OFFERED))
    except CloudError as error:
        # AWS checks the role again when a schedule is only moved.
        if error.code == "NoSuchEntity" or (step.exists and error.code == "ValidationException"):
            raise Raced("the deadline's role is gone") from error
        raise NotArmed.of(error) from error
    work.know(deadline=Deadline(instance_id=step.instance_id, at=step.at, role_arn=role_arn))
    return None


def _not_armed(work: Work, unavailable: str, error: CloudError) -> str:
    if _refuses(work):
        raise NotArmable(error.what, where=error.where, remedy=REMEDY, code=error.code) from error
    work.know(deadline_unavailable=unavailable)
    work.report.note(f"NOT ARMED: the deadline in AWS ({error.what}). The box still stops itself.")
    return "deadline: not armed; the other layers stop the box"


def delete_deadline(step: DeleteDeadline, work: Work) -> None:
    deadline.disarm(work.cloud)


def delete_deadline_role(step: DeleteDeadlineRole, work: Work) -> str | None:
    try:
        if not deadline.delete_role(work.cloud):
            work.know(deadline_role_shared=True)
            return "deadline role: kept, other boxes in the region use it"
    except CloudError as error:
        if isinstance(error, PermissionDenied):
            work.know(deadline_role_shared=True)
            return "deadline role: kept, your AWS user may not remove it"
        if error.code == "DeleteConflict":
            raise Raced("an `up` uses the deadline's role again") from error
        raise
    return None
