"""Carry out the steps about the AWS-side deadline: its role and its schedule."""

from __future__ import annotations

from gpu_box.aws import deadline
from gpu_box.aws.steps.work import Raced, Work
from gpu_box.errors import CloudError, CloudUnreachable, PermissionDenied
from gpu_box.model.observed import Deadline
from gpu_box.plan.steps import ArmDeadline, CreateDeadlineRole, DeleteDeadline, DeleteDeadlineRole


class NotArmed(CloudError):
    """The deadline could not be armed: AWS does not answer, or refuses it."""

    @classmethod
    def of(cls, error: CloudError) -> NotArmed:
        return cls(error.what, where=error.where, remedy=error.remedy, code=error.code)


def create_deadline_role(step: CreateDeadlineRole, work: Work) -> str | None:
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
        return _not_armed(work, "your AWS user may not make schedules", error.what)
    except CloudUnreachable as error:
        if work.cloud.is_offered("scheduler"):
            raise NotArmed.of(error) from error
        return _not_armed(work, deadline.NOT_OFFERED, deadline.NOT_OFFERED)
    except CloudError as error:
        # Of a schedule that is only moved, AWS checks its role again.
        if error.code == "NoSuchEntity" or (step.exists and error.code == "ValidationException"):
            raise Raced("the deadline's role is gone") from error
        raise NotArmed.of(error) from error
    work.know(deadline=Deadline(instance_id=step.instance_id, at=step.at, role_arn=role_arn))
    return None


def _not_armed(work: Work, unavailable: str, why: str) -> str:
    work.know(deadline_unavailable=unavailable)
    work.report.note(f"NOT ARMED: the AWS-side deadline ({why}). The box still stops itself.")
    return "deadline: not armed; the other layers stop the box"


def delete_deadline(step: DeleteDeadline, work: Work) -> None:
    deadline.disarm(work.cloud)


def delete_deadline_role(step: DeleteDeadlineRole, work: Work) -> str | None:
    try:
        if not deadline.delete_role(work.cloud):
            work.know(deadline_role_shared=True)
            return "deadline role: kept, other boxes in the region use it"
    except CloudError as error:
        if error.code == "DeleteConflict":
            raise Raced("an `up` uses the deadline's role again") from error
        raise
    return None
