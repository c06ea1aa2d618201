"""What was just made is not seen yet: by id it is not found, by filter the answer lacks it.

"The result of an API command you run that affects your Amazon EC2 resources might not be immediately visible
to all subsequent commands you run" (EC2 Developer Guide, "Eventual consistency in the Amazon EC2 API").
For the length of a call, such objects are taken out of moto's tables. The weather's delay `visible` says for
how long that goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from local_aws.ec2 import placement
from local_aws.ec2.extra import now
from local_aws.faults import weather

_MAKES = ("Run", "Create", "Import", "Request")
# EC2 itself knows what it has: names that are taken, room, client tokens. Deleting a key pair that is not
# there succeeds, so it must not seem to be away.
_KNOWN = {
    "RunInstances": {"reservations", "volumes", "snapshots", "spot requests"},
    "CreateSecurityGroup": {"groups"},
    "ImportKeyPair": {"key pairs"},
    "CreateKeyPair": {"key pairs"},
    "DeleteKeyPair": {"key pairs"},
    "CreatePlacementGroup": {"placement groups"},
    "CreateImage": {"images", "snapshots"},
}


def refusal(backend: Any, operation: str, named: list[str]) -> tuple[str, str] | None:
    """AWS's code and message for a tag on an instance that is not seen yet: moto tags whatever it is given.

    named: the values of the request.
    """
    if operation not in ("CreateTags", "DeleteTags"):
        return None
    new = {instance.id for instance in _new_instances(backend)}
    for value in named:
        if value in new:
            return "InvalidInstanceID.NotFound", f"The instance ID '{value}' does not exist"
    return None


@contextmanager
def as_seen(backend: Any, operation: str) -> Iterator[None]:
    """For one call: hide what is too new to be seen, and note what the call makes."""
    before = set(_keys(backend))
    known = _KNOWN.get(operation, set())
    hidden = [
        (table, key, table.pop(key))
        for kind, table in _tables(backend)
        for key in list(table)
        if kind not in known and _is_new(backend, key)
    ]
    try:
        yield
    finally:
        for table, key, value in hidden:
            table[key] = value
        if operation.startswith(_MAKES):
            _note(backend, set(_keys(backend)) - before)


def _note(backend: Any, made: set[str]) -> None:
    hidden_for = weather().delay("visible")
    kept = {key: at for key, at in _born(backend).items() if now() - at < hidden_for}
    backend.born = kept | dict.fromkeys(made, now())


def _born(backend: Any) -> dict[str, datetime]:
    born: dict[str, datetime] = getattr(backend, "born", {})
    return born


def _is_new(backend: Any, key: str) -> bool:
    at = _born(backend).get(key)
    return at is not None and now() - at < weather().delay("visible")


def _new_instances(backend: Any) -> Iterator[Any]:
    for key, reservation in backend.reservations.items():
        if _is_new(backend, key):
            yield from reservation.instances


def _keys(backend: Any) -> Iterator[str]:
    for _, table in _tables(backend):
        yield from table


def _tables(backend: Any) -> Iterator[tuple[str, MutableMapping[str, Any]]]:
    yield "reservations", backend.reservations
    yield from (("groups", groups) for groups in backend.groups.values())
    yield "key pairs", backend.key_pairs
    yield "placement groups", placement.all_of(backend)
    yield "volumes", backend.volumes
    yield "images", backend.amis
    yield "snapshots", backend.snapshots
    yield "spot requests", backend.spot_instance_requests
