"""Spot: each spot instance has a request; a persistent one launches again until it is cancelled."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.utils import random_spot_request_id
from moto.iam.models import iam_backends

from local_aws.ec2 import spot_follow
from local_aws.ec2.extra import extra, now
from local_aws.faults import weather

_PATIENCE_S = 1.0  # between two checks for capacity


class SpotRequest(TaggedEC2Resource):  # type: ignore[misc]
    """moto's request launches an instance; RunInstances makes this one for an instance that exists.

    Attributes have the names that moto's serialiser reads.
    """

    def __init__(self, backend: Any, options: dict[str, Any], launch: dict[str, Any]) -> None:
        self.ec2_backend = backend
        self.id = random_spot_request_id()
        self.type = options.get("SpotInstanceType") or "one-time"
        self.spot_price = options.get("MaxPrice")
        self.valid_until = options.get("ValidUntil")
        self.instance_interruption_behavior = options.get("InstanceInterruptionBehavior") or "terminate"
        self.product_description = "Linux/UNIX"
        self.create_time = utcnow()
        self.launch = launch  # the arguments of RunInstances for the next launch
        self.instance: Any = None
        self.relaunch: datetime | None = None
        self.state, self.code = "open", "pending-evaluation"

    @property
    def spot_instance_request_id(self) -> str:
        return str(self.id)

    @property
    def instance_id(self) -> str | None:
        return self.instance.id if self.instance else None

    @property
    def status(self) -> dict[str, Any]:
        return {"Code": self.code, "Message": "", "UpdateTime": self.create_time}

    @property
    def persistent(self) -> bool:
        return bool(self.type == "persistent")

    def wait(self) -> None:
        """Wait for capacity: AWS keeps trying while the request is open."""
        self.relaunch = now() + max(timedelta(seconds=_PATIENCE_S), weather().delay("spot-relaunch"))

    @property
    def launch_specification(self) -> dict[str, Any]:
        return {
            "ImageId": self.launch["image_id"],
            "InstanceType": self.launch.get("instance_type"),
            "KeyName": self.launch.get("key_name"),
            "SubnetId": self.launch.get("subnet_id"),
        }

    def fulfil(self, instance: Any) -> None:
        self.instance, self.state, self.code, self.relaunch = instance, "active", "fulfilled", None
        instance.lifecycle = instance.instance_lifecycle = "spot"
        instance.spot_instance_request_id = self.id
        extra(instance).spot_request_id = self.id


# EC2 User Guide, "Service-linked role for EC2 Spot": created with the account's first spot request.
SERVICE, ROLE, ROLE_PATH = (
    "spot.amazonaws.com",
    "AWSServiceRoleForEC2Spot",
    "/aws-service-role/spot.amazonaws.com/",
)
MAKE_ROLE = "iam:CreateServiceLinkedRole"
ROLE_REFUSED = (
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
    "The provided credentials do not have permission to create the service-linked role for EC2 Spot "
    "Instances.",
)


def has_role(account: str) -> bool:
    return any(role.name == ROLE for role in iam_backends[account]["aws"].roles.values())


def _make_role(account: str) -> None:
    if not has_role(account):
        trust = {"Effect": "Allow", "Principal": {"Service": [SERVICE]}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        iam_backends[account]["aws"].create_role(
            ROLE, document, ROLE_PATH, None, "", [], "3600", linked_service=SERVICE
        )


def make_request(
    backend: Any, instance: Any, options: dict[str, Any], launch: dict[str, Any], tags: dict[str, str]
) -> None:
    _make_role(backend.account_id)
    request = SpotRequest(backend, options, launch)
    backend.spot_instance_requests[request.id] = request
    request.add_tags(tags)
    request.fulfil(instance)


def cancel(backend: Any, request_ids: list[str], ended: Callable[[Any], None]) -> list[Any]:
    """A running instance goes on until it is terminated. ended: called with each instance."""
    missing = [r for r in request_ids if r not in backend.spot_instance_requests]
    if missing:
        raise EC2ClientError(
            "InvalidSpotInstanceRequestID.NotFound",
            f"The spot instance request ID '{missing[0]}' does not exist",
        )
    requests = [backend.spot_instance_requests[r] for r in request_ids]
    for request in requests:
        if request.state != "closed":
            running = request.instance is not None and request.instance.state in ("pending", "running")
            request.state = "cancelled"
            request.code = (
                "request-canceled-and-instance-running" if running else "canceled-before-fulfillment"
            )
            request.relaunch = None
            if request.instance is not None:
                ended(request.instance)
    return requests


def can_stop(backend: Any, instance: Any) -> bool:
    request = _request_of(backend, instance)
    return request is None or request.persistent


def check_stop(backend: Any, instance: Any) -> None:
    if not can_stop(backend, instance):
        raise EC2ClientError(
            "UnsupportedOperation",
            f"You can't stop the Spot Instance '{instance.id}' because it is associated with a one-time Spot "
            "Instance request. You can only stop Spot Instances associated with persistent Spot "
            "Instance requests.",
        )


def check_start(backend: Any, instance: Any) -> None:
    request = _request_of(backend, instance)
    if request is not None and (request.state != "disabled" or request.relaunch is not None):
        raise EC2ClientError(
            "IncorrectSpotRequestState",
            f"You can't start the Spot Instance '{instance.id}' because the associated Spot Instance request "
            "is not in an appropriate state to support start.",
        )


def started(backend: Any, instance: Any) -> None:
    request = _move(backend, instance, when="disabled", state="active", code="fulfilled")
    if request is not None:
        request.relaunch = None


def marked(backend: Any, instance: Any) -> None:
    """The instance has its notice, and still runs."""
    code = "marked-for-stop" if survives(backend, instance) else "marked-for-termination"
    _move(backend, instance, when="active", state="active", code=code)


def stopping(backend: Any, instance: Any) -> None:
    """The user stops the instance, by a call or from inside."""
    if (request := _request_of(backend, instance)) is not None and request.state == "active":
        spot_follow.mark(request)


def stopped(backend: Any, instance: Any) -> None:
    """Only AWS restarts an instance that it interrupted; one that its user stopped stays stopped."""
    request = _request_of(backend, instance)
    if request is None or request.state != "active":
        return
    if extra(instance).code.startswith("Server."):
        request.state, request.code = "disabled", "instance-stopped-no-capacity"
        request.relaunch = now() + weather().delay("spot-relaunch")
    else:
        spot_follow.stopped(request)


def survives(backend: Any, instance: Any) -> bool:
    """Whether an interruption stops the instance instead of terminating it."""
    request = _request_of(backend, instance)
    return request is not None and request.persistent and request.instance_interruption_behavior == "stop"


def to_restart(backend: Any) -> list[Any]:
    """The requests whose stopped instance AWS restarts when there is room for it."""
    return [
        r
        for r in _open(backend)
        if r.instance is not None and r.instance.state == "stopped" and r.relaunch <= now()
    ]


def terminated(backend: Any, instance: Any) -> None:
    """The instance ended: a persistent request is open again, a one-time request is over."""
    request = _request_of(backend, instance)
    if request is None:
        return
    by_aws = extra(instance).code.startswith("Server.")
    request.code = "instance-terminated-no-capacity" if by_aws else "instance-terminated-by-user"
    if request.state in ("active", "disabled") and request.persistent:
        request.state, request.instance = "open", None
        request.relaunch = now() + weather().delay("spot-relaunch")
    elif request.state != "cancelled":
        request.state = "closed"


def relaunch_due(backend: Any) -> bool:
    """Fill the open persistent requests that are due. Returns whether any was."""
    changed = False
    for request in list(_open(backend)):
        if request.instance is None and request.relaunch <= now():
            changed = True
            try:
                # "The instances and volumes that are launched by the Spot Instance request are not
                # automatically tagged" (EC2 User Guide, "Spot Instance requests").
                launch = copy.deepcopy(request.launch) | {"tags": {}}
                backend.run_instances(**launch, spot_request=request)
            except Exception:  # no capacity, an image that is gone
                request.code = "capacity-not-available"
                request.wait()
    return changed


def next_due(backend: Any) -> Iterable[datetime]:
    return (request.relaunch for request in _open(backend))


def _open(backend: Any) -> Iterable[Any]:
    for request in backend.spot_instance_requests.values():
        if isinstance(request, SpotRequest) and request.relaunch is not None:
            yield request


def _move(backend: Any, instance: Any, *, when: str, state: str, code: str) -> Any:
    """The request of the instance; None if it has none, or if the request is in another state."""
    request = _request_of(backend, instance)
    if request is None or request.state != when:
        return None
    request.state, request.code = state, code
    return request


def _request_of(backend: Any, instance: Any) -> Any:
    return backend.spot_instance_requests.get(extra(instance).spot_request_id)
