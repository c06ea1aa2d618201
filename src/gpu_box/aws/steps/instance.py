"""Carry out the steps that launch, start, stop, change, await and terminate an instance."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from botocore.exceptions import ClientError

from gpu_box.aws import launch, made, relaunched, tags
from gpu_box.aws.errors import code_of, translated
from gpu_box.aws.observe import read_instance
from gpu_box.aws.steps.work import POLL_FIRST_S, Raced, Work, delete
from gpu_box.errors import CapacityError, CloudError
from gpu_box.model.failed_start import failed_start
from gpu_box.model.observed import InstanceState
from gpu_box.plan.notes import TagAgain
from gpu_box.plan.steps import (
    CancelSpotRequest,
    ChangeType,
    RunInstance,
    StartInstance,
    StopInstance,
    Terminate,
    WaitForInstance,
)
from gpu_box.polling import attempts

# Seconds. EC2 reports `running` within about half a minute, except for bare metal; `stopped` can take
# minutes.
_WAIT_S = 900
_POLL_MAX_S = 3.0
_STALE_S = 15.0  # how long an answer may still show the state before the start
_DEAD = (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)
_ON_ITS_WAY_DOWN = (InstanceState.STOPPING, *_DEAD)
_STOP_S = 900.0  # the longest time until `running`
_REQUEST_STATE, _REQUEST_S = "IncorrectSpotRequestState", 180.0


def run_instance(step: RunInstance, work: Work) -> str:
    group = work.observed.group
    if group is None:
        raise Raced("the security group does not exist yet")
    launched = launch.run_instance(work.cloud, step, group_id=group.id, report=work.report)
    if launched is None:
        raise Raced("another `up` launched, or this launch was repeated")
    work.see(launched)
    if launched.market == "spot":
        work.whole = False  # it also made a spot request
    return f"instance {launched.id}: {launched.type} in {launched.zone}"


def start_instance(step: StartInstance, work: Work) -> None:
    try:
        _start(step, work)
    except CloudError as error:
        if error.code == "IncorrectInstanceState":
            raise Raced(f"{step.instance_id} is no longer stopped") from error
        if not isinstance(error, CapacityError) or error.code == _REQUEST_STATE:
            raise
        # The disk is in this zone: an instance elsewhere would lack the user's work.
        raise CapacityError(
            f"AWS has no {step.type} left in {step.zone}, where the box's disk is ({error.code}); "
            "nothing was lost",
            code=error.code,
            remedy="`gpu-box up --wait 1h` keeps trying until there is capacity, `gpu-box resize TYPE` uses "
            "another type, `gpu-box move` moves the box with its disk to another zone.",
        ) from error
    work.know_instance(step.instance_id, state=InstanceState.PENDING)


def _start(step: StartInstance, work: Work) -> None:
    """Start the instance. AWS refuses until the spot request has followed its instance's stop.

    That takes about a minute (github.com/hashicorp/terraform-provider-aws/issues/33399).
    """
    found = next((i for i in work.observed.instances if i.id == step.instance_id), None)
    for _ in attempts(_REQUEST_S, every_s=1.0, at_most_s=_POLL_MAX_S):
        try:
            with translated(f"starting {step.instance_id}"):
                work.cloud.ec2.start_instances(InstanceIds=[step.instance_id])
            return
        except CloudError as error:
            if error.code != _REQUEST_STATE:
                raise
            if found and found.reason_code.startswith("Server."):
                # "Only Amazon EC2 can restart an interrupted stopped Spot Instance" (EC2 User Guide).
                raise CapacityError(
                    "AWS interrupted this spot instance, and restarts it by itself once it has capacity; "
                    "nothing was lost",
                    code=error.code,
                    remedy="`gpu-box up --wait 1h` waits for it.",
                ) from error
        work.report.update(step.title, f"instance {step.instance_id}: AWS is still stopping its spot request")
    raise CloudError(
        f"the spot request of {step.instance_id} is still being stopped after {_REQUEST_S / 60:.0f} minutes; "
        "nothing was lost",
        code=_REQUEST_STATE,
        remedy="AWS can start the instance only afterwards: run `gpu-box up` again in a few minutes.",
    )


def stop_instance(step: StopInstance, work: Work) -> None:
    with translated(f"stopping {step.instance_id}"):
        _stop(step, work)
    # Only for `why`: stopping matters more than recording who stopped it.
    asked = f"{datetime.now(UTC).isoformat(timespec='seconds')} {tags.owner_tag(work.cloud.config)}"
    asked += f" after {step.after}" if step.after else ""
    with suppress(CloudError):
        tags.tag_instance(
            work.cloud, step.instance_id, {tags.STOP: tags.tag_value(asked)}, "recording who stopped it"
        )
    work.know_instance(step.instance_id, state=InstanceState.STOPPING)


def _stop(step: StopInstance, work: Work) -> None:
    """Retry until AWS accepts the stop, or the instance is stopping for another reason.

    AWS refuses while the instance "has never reached the 'running' state" (EC2's IncorrectInstanceState).
    """
    refused: ClientError | None = None
    for _ in attempts(_STOP_S, every_s=POLL_FIRST_S, at_most_s=_POLL_MAX_S):
        try:
            work.cloud.ec2.stop_instances(InstanceIds=[step.instance_id])
            return
        except ClientError as error:
            if code_of(error) != "IncorrectInstanceState":
                raise
            refused = error
        instance = read_instance(work.cloud, step.instance_id)
        if instance and not instance.state.bills:
            return
        work.report.update(step.title, f"instance {step.instance_id}: AWS can stop it once it has started")
    raise CloudError(
        f"AWS has refused to stop {step.instance_id} for {_STOP_S / 60:.0f} minutes; it still bills",
        remedy="Run `gpu-box stop` again, or `gpu-box down`, which AWS accepts at any time.",
    ) from refused


def change_type(step: ChangeType, work: Work) -> None:
    with translated(f"changing the type of {step.instance_id}"):
        work.cloud.ec2.modify_instance_attribute(
            InstanceId=step.instance_id, InstanceType={"Value": step.type}
        )


def wait_for_instance(step: WaitForInstance, work: Work) -> str:
    state, wait_s, began = InstanceState.UNKNOWN, _WAIT_S, False
    for waited_s in attempts(wait_s, every_s=POLL_FIRST_S, at_most_s=_POLL_MAX_S):
        instance = read_instance(work.cloud, step.instance_id)
        if instance is None and step.state is not InstanceState.TERMINATED and waited_s < made.NOT_YET_S:
            work.report.update(step.title, f"instance {step.instance_id}: AWS does not show it yet")
            continue
        state = instance.state if instance else InstanceState.TERMINATED
        began = began or state.bills
        if state is step.state and (
            instance is None or instance.address or state is not InstanceState.RUNNING
        ):
            at = f" at {instance.address}" if instance and state is InstanceState.RUNNING else ""
            if instance is None or not instance.exists:
                work.whole = False
            else:
                work.see(instance)
            return f"instance {step.instance_id}: {state}{at}"
        # An answer may still show the state before the start.
        stopped_again = state is InstanceState.STOPPED and (began or waited_s > _STALE_S)
        if step.state is InstanceState.RUNNING and instance and (stopped_again or state in _ON_ITS_WAY_DOWN):
            failure = failed_start(instance)
            if state in _DEAD and instance.spot_request_id:
                # Otherwise AWS launches another one when it can, even after this `up` has ended.
                cancel_spot_request(CancelSpotRequest(request_id=instance.spot_request_id), work)
            if state in _DEAD and isinstance(failure, CapacityError):
                raise Raced(failure.what)  # another placement may have capacity
            raise failure
        if state in _DEAD and step.state is not InstanceState.TERMINATED:
            reason = f" ({instance.reason})" if instance and instance.reason else ""
            raise CloudError(
                f"instance {step.instance_id} is {state} instead of {step.state}{reason}",
                remedy="Run the command again; `gpu-box status` shows what AWS says.",
            )
        work.report.update(step.title, f"instance {step.instance_id}: {state}")
    raise CloudError(
        f"instance {step.instance_id} is still {state} after {wait_s / 60:.0f} minutes",
        remedy="AWS is slow: run the command again to keep waiting."
        + (" It may still bill." if state.bills else ""),
    )


def tag_again(step: TagAgain, work: Work) -> str | None:
    """Errors are only noted: what AWS permits without the tags, above all a stop, must continue."""
    try:
        relaunched.tag_again(work.cloud, step.instance_id)
    except CloudError as error:
        work.report.note(f"{step.instance_id} has no tags: {error}")
        return f"instance {step.instance_id}: not tagged"
    return None


def terminate(step: Terminate, work: Work) -> None:
    delete(work, f"terminating {step.instance_id}", "terminate_instances", InstanceIds=[step.instance_id])


def cancel_spot_request(step: CancelSpotRequest, work: Work) -> None:
    delete(
        work,
        f"cancelling {step.request_id}",
        "cancel_spot_instance_requests",
        SpotInstanceRequestIds=[step.request_id],
    )
