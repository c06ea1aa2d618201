"""RunInstances' client tokens: a token finds its instances until a day after they were terminated.

Zonal if the request names a zone or subnet, else regional (EC2 Developer Guide, "Ensuring idempotency").
Since January 2025 the token of a terminated instance is refused (github.com/boto/boto3/issues/4406); it "is
valid for at least 24 hours after the termination" (AWS, quoted in github.com/ansible/ansible/pull/4033).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moto.ec2.exceptions import EC2ClientError

from local_aws.ec2.extra import now
from local_aws.faults import weather


@dataclass
class Launch:
    fingerprint: str  # of the request's parameters
    reservation_id: str
    instance_ids: tuple[str, ...]
    ended: datetime | None = None  # when the last instance was terminated


def earlier(backend: Any, token: str, params: dict[str, Any]) -> Any:
    """The reservation of this token; None for a new token. Raises EC2ClientError as AWS does."""
    known = backend.launches.get(_scope(token, params))
    if not isinstance(known, Launch) or (known.ended and now() - known.ended > weather().delay("token-kept")):
        return None
    if known.fingerprint != _fingerprint(params):
        raise EC2ClientError(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous "
            "request(s).",
        )
    if known.ended:
        raise EC2ClientError(
            "IdempotentInstanceTerminated",
            "The client token you have provided is associated with a terminated instance. Please use a "
            "different client token.",
        )
    return backend.reservations.get(known.reservation_id)


def remember(backend: Any, token: str, params: dict[str, Any], reservation: Any) -> None:
    ids = tuple(instance.id for instance in reservation.instances)
    backend.launches[_scope(token, params)] = Launch(_fingerprint(params), reservation.id, ids)


def ended(backend: Any, instance: Any) -> None:
    """Note that the instance was terminated."""
    for launch in backend.launches.values():
        if isinstance(launch, Launch) and instance.id in launch.instance_ids:
            launch.ended = now()


def _scope(token: str, params: dict[str, Any]) -> str:
    subnet = params.get("SubnetId") or next(
        (n.get("SubnetId") for n in params.get("NetworkInterfaces") or []), None
    )
    zone = (params.get("Placement") or {}).get("AvailabilityZone")
    return json.dumps([token, subnet or zone])


def _fingerprint(params: dict[str, Any]) -> str:
    kept = {k: v for k, v in params.items() if k not in ("ClientToken", "DryRun")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()
