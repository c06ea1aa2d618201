"""Eventual consistency: a new resource is not found by id, and answers by filter lack it.

"The result of an API command you run that affects your Amazon EC2 resources might not be immediately visible
to all subsequent commands you run" (EC2 Developer Guide, "Eventual consistency in the Amazon EC2 API").
For the length of a call, such resources are taken out of moto's tables. The weather's delay `visible` sets
for how long.
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
# EC2 itself always knows names that are taken, room, and client tokens. Deleting a missing key pair
# succeeds, so a new one must not be hidden from that call.
_KNOWN = {
    "RunInstances": {"reservations", "volumes", "snapshots", "spot requests"},
    "CreateSecurityGroup": {"groups"},
    "ImportKeyPair": {"key pairs"},
    "CreateKeyPair": {"key pairs"},
    "DeleteKeyPair": {"key pairs"},
    "CreatePlacementGroup": {"placement groups"},
    "CreateImage": {"images", "snapshots"},
}


# By the prefix of an id, as recorded from the calls that describe each kind.
_NOT_FOUND = {
    "i": ("InvalidInstanceID.NotFound", "The instance ID '{}' does not exist"),
    "vol": ("InvalidVolume.NotFound", "The volume '{}' does not exist."),
    "sg": ("InvalidGroup.NotFound", "The security group '{}' does not exist"),
    "snap": ("InvalidSnapshot.NotFound", "The snapshot '{}' does not exist."),
    "ami": ("InvalidAMIID.NotFound", "The image id '[{}]' does not exist"),
}


def refusal(backend: Any, operation: str, resources: list[str]) -> tuple[str, str] | None:
    """AWS's error for tagging a resource that does not exist or is not visible yet: moto tags anything.

    resources: the ids that the request names.
    """
    if operation not in ("CreateTags", "DeleteTags"):
        return None
    for id_ in resources:
        kind = id_.partition("-")[0]
        if kind in _NOT_FOUND and id_ not in _seen(backend, kind):
            code, words = _NOT_FOUND[kind]
            return code, words.format(id_)
    return None


@contextmanager
def as_seen(backend: Any, operation: str) -> Iterator[None]:
    """Hide the resources that are too new to be seen during one call, and note those that the call makes."""
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


def _seen(backend: Any, kind: str) -> Iterator[str]:
    if kind == "i":
        for key, reservation in backend.reservations.items():
            if not _is_new(backend, key):
                yield from (instance.id for instance in reservation.instances)
    elif kind == "sg":
        yield from (key for groups in backend.groups.values() for key in groups if not _is_new(backend, key))
    else:
        table = {"vol": backend.volumes, "snap": backend.snapshots, "ami": backend.amis}[kind]
        yield from (key for key in table if not _is_new(backend, key))


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
