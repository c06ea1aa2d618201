"""The states of an instance and how long they last.

    pending -> running -> stopping -> stopped -> pending ...
    any of these -> shutting-down -> terminated

A call puts an instance into a passing state with a due time; `settle` ends the due states. moto's own
start, stop and terminate do the rest: addresses, interfaces, volumes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError, OperationNotPermitted4
from moto.ec2.models.instances import InstanceState, StateReason

from local_aws.ec2 import client_tokens, consoles, launch_failure, spot
from local_aws.ec2.extra import extra, now
from local_aws.faults import LaunchFailure, weather
from local_aws.moto_inside import explain_state

PORT_TAG = "gpu-box:ssh-port"
_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
_ENDS_AS = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}
# As on EC2, an instance whose machine does not start stays `running`.
_LONGEST_HOLD = timedelta(seconds=30)
_BY_USER = ("UserInitiatedShutdown", "User initiated")  # code and message of a StateReason
_BY_ITSELF = ("InstanceInitiatedShutdown", "Instance initiated")

Changed = list[tuple[Any, InstanceState]]
"""(instance, the state before), as moto's calls return them."""


def created(instance: Any) -> None:
    instance.state_reason = StateReason("pending", "pending")
    _enter(instance, "pending")


def start(backend: Any, instances: list[Any], check: Callable[[Any], None]) -> Changed:
    """check: raises if there is no room for the instance now."""
    for instance in instances:
        if instance.state not in ("stopped", "pending", "running"):
            raise _wrong_state(instance, "is not in a state from which it can be started")
    stopped = [i for i in instances if i.state == "stopped"]
    for instance in stopped:
        spot.check_start(backend, instance)
        check(instance)
    changed = _snapshot(instances)
    for instance in stopped:
        restart(backend, instance)
    return changed


def restart(backend: Any, instance: Any) -> None:
    """Start a stopped instance for which there is room."""
    instance.start()
    instance.launch_time = utcnow()
    instance.state_reason = StateReason("pending", "pending")
    extra(instance).boots += 1
    backend.delete_tags([instance.id], {PORT_TAG: None})
    spot.started(backend, instance)
    _enter(instance, "pending")


def stop(backend: Any, instances: list[Any]) -> Changed:
    for instance in instances:
        if instance.state == "pending" and not extra(instance).has_run:
            raise EC2ClientError(
                "IncorrectInstanceState",
                f"Instance '{instance.id}' cannot be stopped as it has never reached the 'running' state.",
            )
        if instance.state in ("shutting-down", "terminated"):
            raise _wrong_state(instance, "is not in a state from which it can be stopped")
        if instance.disable_api_stop is True:
            raise _protected(instance, "stopped")
        spot.check_stop(backend, instance)
    changed = _snapshot(instances)
    for instance in instances:
        if instance.state in ("pending", "running"):
            spot.stopping(backend, instance)
            _leave(instance, "stopping", f"User initiated ({_stamp()})", *_BY_USER)
    return changed


def terminate(backend: Any, instances: list[Any]) -> Changed:
    for instance in instances:
        if instance.disable_api_termination is True:
            raise OperationNotPermitted4(instance.id)
        if instance.disable_api_stop is True:
            raise _protected(instance, "terminated")
    changed = _snapshot(instances)
    for instance in instances:
        if instance.state not in ("shutting-down", "terminated"):
            _leave(instance, "shutting-down", f"User initiated ({_stamp()})", *_BY_USER)
    return changed


def _protected(instance: Any, what: str) -> EC2ClientError:
    return EC2ClientError(
        "OperationNotPermitted",
        f"The instance '{instance.id}' may not be {what}. Modify its 'disableApiStop' instance attribute and "
        "try again.",
    )


def reboot(instances: list[Any]) -> None:
    for instance in instances:
        if instance.state != "running":
            raise _wrong_state(instance, "is not in a state from which it can be rebooted")
    for instance in instances:
        extra(instance).boots += 1


def shut_down_from_inside(backend: Any, instance: Any) -> None:
    """`shutdown` was run on the machine. A one-time spot instance cannot stop, so it ends."""
    if instance.state not in ("pending", "running"):
        return
    keeps = instance.instance_initiated_shutdown_behavior != "terminate" and spot.can_stop(backend, instance)
    if keeps:
        spot.stopping(backend, instance)
    # AWS gives no time in this StateTransitionReason.
    _leave(instance, "stopping" if keeps else "shutting-down", "User initiated", *_BY_ITSELF)


def interrupt(backend: Any, instance: Any) -> None:
    """AWS interrupts a spot instance, as its request says."""
    if spot.survives(backend, instance):
        _leave_by_aws(instance, "stopping", "Server.SpotInstanceShutdown", "Spot instance shutdown")
    else:
        _terminate_spot(instance)


def end_with_request(instance: Any) -> None:
    """The spot request of a stopped instance was cancelled: "Amazon EC2 terminates any associated Spot
    Instances that are stopped".
    """
    if instance.state in ("stopping", "stopped"):
        _terminate_spot(instance)


def _terminate_spot(instance: Any) -> None:
    _leave_by_aws(instance, "shutting-down", "Server.SpotInstanceTermination", "Spot instance termination")


def settle(backend: Any, is_held: Callable[[str, str], bool]) -> bool:
    """End the passing states that are due. Returns whether anything changed.

    is_held(instance id, next state): whether its machine has yet to start or to end.
    """
    moment = now()
    changed = False
    for instance in list(backend.all_instances()):
        mark = extra(instance)
        if mark.due is not None and mark.due <= moment:
            target = _ENDS_AS[instance.state]
            overdue = moment - mark.due > _LONGEST_HOLD
            if overdue or not is_held(instance.id, target):
                failure = launch_failure.strike(instance) if target == "running" else None
                if failure:
                    _fail(backend, instance, failure)
                else:
                    _arrive(backend, instance, target)
                changed = True
        if mark.ended and moment - mark.ended > timedelta(seconds=weather().terminated_shown_s):
            _forget(backend, instance)
            changed = True
    return changed


def next_due(backend: Any) -> Iterable[datetime]:
    for instance in backend.all_instances():
        mark = extra(instance)
        if mark.due is not None:
            yield mark.due


def _enter(instance: Any, state: str) -> None:
    instance.instance_state.name, instance.instance_state.code = state, _CODES[state]
    mark = extra(instance)
    mark.due = now() + weather().delay(state)
    mark.noticed = mark.taken = None  # a notice holds for one boot


def _leave(instance: Any, state: str, reason: str, code: str, who: str) -> None:
    _enter(instance, state)
    mark = extra(instance)
    mark.reason, mark.code = reason, f"Client.{code}"
    mark.message = f"Client.{code}: {who} shutdown"
    _explain(instance)


def _leave_by_aws(instance: Any, state: str, code: str, what: str) -> None:
    _enter(instance, state)
    mark = extra(instance)
    mark.reason, mark.code, mark.message = f"{code} ({_stamp()})", code, f"{code}: {what}"
    _explain(instance)


def _explain(instance: Any) -> None:
    mark = extra(instance)
    explain_state(instance, mark.reason)
    instance.state_reason = StateReason(mark.message, mark.code) if mark.code else StateReason()


def _arrive(backend: Any, instance: Any, state: str) -> None:
    mark = extra(instance)
    mark.due = None
    if state == "running":
        mark.has_run = True
        mark.reason = mark.code = mark.message = ""
    elif state == "stopped":
        instance.stop()
        backend.delete_tags([instance.id], {PORT_TAG: None})
        spot.stopped(backend, instance)
    else:
        instance.terminate()
        instance.security_groups = []  # EC2 shows none for a terminated instance
        mark.ended = now()
        client_tokens.ended(backend, instance)
        spot.terminated(backend, instance)
    instance.instance_state.name, instance.instance_state.code = state, _CODES[state]
    consoles.changed(instance)
    _explain(instance)


def _fail(backend: Any, instance: Any, failure: LaunchFailure) -> None:
    """A failed launch ends in `terminated`, a failed start in `stopped`."""
    mark = extra(instance)
    mark.reason, mark.code, mark.message = failure.code, failure.code, launch_failure.message(failure)
    if mark.has_run:
        _arrive(backend, instance, "stopped")
    else:
        _enter(instance, "shutting-down")
        _explain(instance)


def _forget(backend: Any, instance: Any) -> None:
    for reservation_id, reservation in list(backend.reservations.items()):
        reservation.instances = [i for i in reservation.instances if i.id != instance.id]
        if not reservation.instances:
            del backend.reservations[reservation_id]
    backend.tags.pop(instance.id, None)


def _snapshot(instances: list[Any]) -> Changed:
    return [(i, InstanceState(i.state, i.state_code)) for i in instances]


def _stamp() -> str:
    return f"{now():%Y-%m-%d %H:%M:%S} GMT"


def _wrong_state(instance: Any, why: str) -> EC2ClientError:
    return EC2ClientError("IncorrectInstanceState", f"The instance '{instance.id}' {why}.")
