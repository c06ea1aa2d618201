"""A spot request changes some time after its instance has stopped.

    active, fulfilled -> active, marked-for-stop -> disabled, instance-stopped-by-user

Until the last step the stopped instance cannot be started: IncorrectSpotRequestState. Measured in
github.com/hashicorp/terraform-provider-aws/issues/33399; the weather's delay `spot-follows` sets how late.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from local_aws.ec2.extra import now
from local_aws.faults import weather

STOPPING, STOPPED = "marked-for-stop", "instance-stopped-by-user"


def mark(request: Any) -> None:
    """The user stops the instance."""
    request.code = STOPPING


def stopped(request: Any) -> None:
    """The instance is stopped."""
    request.code, request.follows = STOPPING, now() + weather().delay("spot-follows")
    if request.follows <= now():
        _follow(request)


def settle(backend: Any) -> bool:
    """Move the requests that are due. Returns whether any moved."""
    due = [request for request in _late(backend) if request.follows <= now()]
    for request in due:
        _follow(request)
    return bool(due)


def next_due(backend: Any) -> Iterable[datetime]:
    return (request.follows for request in _late(backend))


def _follow(request: Any) -> None:
    request.follows = None
    if request.state == "active" and request.instance.state == "stopped":
        request.state, request.code = "disabled", STOPPED


def _late(backend: Any) -> Iterator[Any]:
    for request in backend.spot_instance_requests.values():
        if getattr(request, "follows", None) is not None:
            yield request
