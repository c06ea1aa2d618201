"""Resources that this process created recently, and AWS may not show yet.

"The result of an API command you run [...] might not be immediately visible to all subsequent commands you
run" (EC2 Developer Guide, "Eventual consistency in the Amazon EC2 API"): a new resource may be missing from
lists, and its id may give NotFound, although it exists.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gpu_box.model.observed import Instance, KeyPair, Observed, SecurityGroup

# The longest time until AWS shows a new resource everywhere; usually a few seconds.
NOT_YET_S = 30.0
_ASK_AGAIN_S = 0.5
_NOT_FOUND = ("NotFound", ".Unknown")  # ends of codes such as "InvalidInstanceID.NotFound"
Thing = Instance | SecurityGroup | KeyPair


class Made:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: dict[str, float] = {}  # `_name` -> time of creation, monotonic seconds
        self._things: dict[str, tuple[str, Thing]] = {}  # `_name` -> its box, and the answer of its create

    def follow(self, client: Any) -> None:
        """Record what this EC2 client creates, and retry while AWS does not find it yet."""
        client.meta.events.register("after-call.ec2", self._note_answer)
        client.meta.events.register_first("needs-retry.ec2", self._wait_if_new)

    def add(self, box: str, before: Observed, after: Observed) -> None:
        """Record what a round added to `before`. box: identifies the box and its region."""
        known = {instance.id for instance in before.instances}
        made: list[Thing] = [i for i in after.instances if i.exists and i.id not in known]
        made += [after.group] if after.group and not before.group else []
        made += [after.key_pair] if after.key_pair and not before.key_pair else []
        with self._lock:
            self._things |= {_name(thing): (box, thing) for thing in made}
            self._at = dict.fromkeys(map(_name, made), time.monotonic()) | self._at

    def forget(self, ids: Iterable[str]) -> None:
        """They are deleted, or being deleted."""
        with self._lock:
            for id_ in ids:
                self._at.pop(id_, None)
                self._things.pop(id_, None)

    def complete(self, box: str, seen: Observed) -> Observed:
        """Add to what AWS shows what it does not show yet."""
        with self._lock:
            new = [t for id_, (of, t) in self._things.items() if of == box and self._is_new(id_)]
        known = {instance.id for instance in seen.instances}
        unseen = tuple(t for t in new if isinstance(t, Instance) and t.id not in known)
        group = next((t for t in new if isinstance(t, SecurityGroup)), None)
        key_pair = next((t for t in new if isinstance(t, KeyPair)), None)
        return replace(
            seen,
            instances=seen.instances + unseen,
            group=seen.group or group,
            key_pair=seen.key_pair or key_pair,
        )

    def is_new(self, id_: str) -> bool:
        """Whether this process created it so recently that AWS may not show it yet."""
        with self._lock:
            return self._is_new(id_)

    def _is_new(self, id_: str) -> bool:
        at = self._at.get(id_)
        return at is not None and time.monotonic() - at < NOT_YET_S

    def _note_answer(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if "Error" not in parsed:
            with self._lock:
                self._at |= dict.fromkeys(_made_by(model.name, parsed), time.monotonic())

    def _wait_if_new(self, response: Any, request_dict: dict[str, Any], **_: Any) -> float | None:
        """For botocore's `needs-retry` event: seconds until another attempt, or None."""
        code = response[1].get("Error", {}).get("Code", "") if response else ""
        if not code.endswith(_NOT_FOUND):
            return None
        body = request_dict.get("body")
        named = {str(value) for value in body.values()} if isinstance(body, dict) else set()
        return _ASK_AGAIN_S if any(self.is_new(name) for name in named) else None


def _name(thing: Thing) -> str:
    """The id or name that calls use."""
    return thing.name if isinstance(thing, KeyPair) else thing.id


def _made_by(operation: str, answer: dict[str, Any]) -> list[str]:
    """Ids, or names that later calls use."""
    if operation == "RunInstances":
        instances = answer.get("Instances", [])
        ids = [i.get(name) for i in instances for name in ("InstanceId", "SpotInstanceRequestId")]
        return [id_ for id_ in ids if id_]
    if operation == "CreatePlacementGroup":
        return [answer["PlacementGroup"]["GroupName"]] if "PlacementGroup" in answer else []
    name = {"CreateSecurityGroup": "GroupId", "ImportKeyPair": "KeyName", "CreateImage": "ImageId"}
    return [answer[name[operation]]] if operation in name and answer.get(name[operation]) else []
