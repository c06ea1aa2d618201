"""Parses AWS's description of an instance.

Anybody may edit a tag, and AWS may add a state. An unreadable value is recorded on its instance, so that it
does not affect other boxes, and stopping or removing this one still works, because that needs only the id.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, TypeVar

from gpu_box.aws import tags
from gpu_box.model.observed import PENDING_KEY, Guess, Instance, InstanceState, StopAsked, Unreadable
from gpu_box.model.public_key import is_public_key
from gpu_box.model.spending import from_tag

T = TypeVar("T")

_KEY = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_HOST_KEY_REMEDY = (
    "Set it to the machine's own key, from /etc/ssh/ssh_host_ed25519_key.pub on the box (`ssh-ed25519 "
    "AAAA...`); if you cannot read it there, make a new box: `gpu-box down`, then `up`."
)


def parse_instance(raw: dict[str, Any]) -> Instance:
    """raw: from DescribeInstances or RunInstances. Needs only the InstanceId; `unreadable` lists problems."""
    reading = _Reading(raw)
    tag, values = reading.tag, reading.tags
    state, launched, zone = reading.state(), reading.launched(), reading.zone()
    reason = raw.get("StateReason") or {}
    instance = Instance(
        id=reading.id,
        state=state,
        type=raw.get("InstanceType", ""),
        zone=zone,
        launched=launched,
        address=raw.get("PublicIpAddress") or raw.get("Ipv6Address"),
        private_address=raw.get("PrivateIpAddress"),
        market=raw.get("InstanceLifecycle", "on-demand"),
        key=tag(tags.KEY, _fingerprint, ""),
        host_key=tag(tags.HOST_KEY, _host_key, values.get(tags.HOST_KEY), entering=True),
        ssh_port=tag(tags.SSH_PORT, _port, 22, entering=True),
        reason_code=reason.get("Code", ""),
        reason=reason.get("Message", ""),
        transition=raw.get("StateTransitionReason", ""),
        stop_asked=tag(tags.STOP, _stop_asked, None),
        spent=tuple(sorted(reading.spent().items())),
        spent_until=tag(tags.COUNTED, _time, None),
        guess=tag(tags.GUESSED, _guess, None),
        resizing=values.get(tags.RESIZING, ""),
        extending=tag(tags.EXTENDING, _extending, None),
        baking=bool(values.get(tags.BAKING, "")),
        limits=values.get(tags.LIMITS, ""),
        moved_from=values.get(tags.MOVED_FROM, ""),
        disk_gib=tag(tags.DISK, _gib, None),
        owner=tags.owner_of(values),
        spot_request_id=raw.get("SpotInstanceRequestId", ""),
        tagged=tags.NAME in values,
        unreadable=tuple(reading.unreadable),
    )
    # AWS shows a terminated instance for about an hour; there is nothing to repair.
    return instance if instance.exists else replace(instance, unreadable=())


class _Reading:
    """Parses one instance and collects what cannot be read."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.id: str = raw["InstanceId"]
        self.tags = tags.tag_map(raw)
        self.unreadable: list[Unreadable] = []

    def tag(self, name: str, parse: Callable[[str], T], default: T, *, entering: bool = False) -> T:
        """The parsed tag; the default if it is missing or `parse` raises ValueError."""
        if name not in self.tags:
            return default
        try:
            return parse(self.tags[name])
        except ValueError as error:
            value = self.tags[name]
            shown = repr(value if len(value) <= 40 else value[:39] + "…")
            remove = shlex.join(
                ["aws", "ec2", "delete-tags", "--resources", self.id, "--tags", f"Key={name}"]
            )
            remedy = f"Correct it, or remove it: `{remove}`."
            if not name.isprintable():  # cannot be typed
                name, remedy = repr(name), "Remove it in the AWS console."
            if name == tags.HOST_KEY:
                remedy = _HOST_KEY_REMEDY
            self._note(f"its tag {name} is {shown}: {error}", remedy, entering=entering)
            return default

    def state(self) -> InstanceState:
        name = str((self.raw.get("State") or {}).get("Name", ""))
        try:
            return InstanceState(name)
        except ValueError:
            self._note(
                f"EC2 reports the state {name!r}, which this gpu-box does not know",
                "`gpu-box stop` and `down` still work; check for a newer gpu-box.",
                entering=True,
            )
            return InstanceState.UNKNOWN

    def launched(self) -> datetime:
        """Now if AWS does not return it, so that nothing is counted twice."""
        at: datetime | None = self.raw.get("LaunchTime")
        if at is None:
            self._note("EC2 does not return its start time", "Run the command again in a minute.")
        return at or datetime.now(UTC)

    def zone(self) -> str:
        zone: str = (self.raw.get("Placement") or {}).get("AvailabilityZone", "")
        if not zone:
            self._note("EC2 does not return its zone", "Run the command again in a minute.")
        return zone

    def spent(self) -> dict[date, Decimal]:
        days: dict[date, Decimal] = {}
        for name in self.tags:
            if name.startswith(tags.USD_MONTH):
                none: dict[date, Decimal] = {}
                days |= self.tag(name, partial(from_tag, name.removeprefix(tags.USD_MONTH)), none)
        return days

    def _note(self, what: str, remedy: str, *, entering: bool = False) -> None:
        self.unreadable.append(Unreadable(what=what, remedy=remedy, entering=entering))


def _port(value: str) -> int:
    port = _whole(value)
    if not 1 <= port <= 65535:
        raise ValueError("not a port from 1 to 65535")
    return port


def _host_key(value: str) -> str:
    if not is_public_key(value.removeprefix(PENDING_KEY)):
        raise ValueError("not a public key of SSH")
    return value


def _fingerprint(value: str) -> str:
    if value and not _KEY.fullmatch(value):
        raise ValueError("not the fingerprint of a public key")
    return value


def _gib(value: str) -> int | None:
    return _whole(value) if value else None


def _whole(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError("not a whole number")
    return int(value)


def _stop_asked(value: str) -> StopAsked | None:
    when, _, by = value.partition(" ")
    at = _time(when)
    return StopAsked(at=at, by=by or "an unknown user") if at else None


def _extending(value: str) -> tuple[datetime, datetime] | None:
    before, _, after = value.partition(" ")
    base, at = _time(before), _time(after)
    if (base is None) != (at is None):
        raise ValueError("not two times")
    return (base, at) if base and at else None


def _guess(value: str) -> Guess | None:
    if not value:
        return None
    try:
        begin, end, usd = value.split(" ")
        launched, until, usd_hour = _time(begin), _time(end), Decimal(usd)
    except (ValueError, InvalidOperation):
        raise ValueError("not two times and a price") from None
    if launched is None or until is None or until < launched or not usd_hour.is_finite() or usd_hour < 0:
        raise ValueError("not the start and the end of a session and its price")
    return Guess(launched=launched, until=until, usd_hour=usd_hour)


def _time(value: str) -> datetime | None:
    """Aware, UTC; None for an empty value, which is how gpu-box clears a tag."""
    if not value:
        return None
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None or not 2000 <= at.year < 3000:
            raise ValueError
    except ValueError:
        raise ValueError("not a time with a UTC offset") from None
    return at.astimezone(UTC)
