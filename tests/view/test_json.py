"""Results as JSON: the same kind of value always has the same form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gpu_box.config.model import Config
from gpu_box.model.machine import Host
from gpu_box.model.observed import InstanceState
from gpu_box.model.results import JobStarted
from gpu_box.view.json import dumps, plain

HOST = Host(name="ada", address="203.0.113.7", port=22, user="ubuntu", key=Path("key"), host_keys=())


class Colour(Enum):
    RED = ("r", 1)


@dataclass(frozen=True)
class Pair:
    left: Any
    right: Any


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        (float("nan"), None),
        (float("inf"), None),
        ("ä", "ä"),
        (Decimal("0.526"), "0.526"),
        (Decimal("8.00"), "8.00"),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        (datetime(2026, 8, 1, 12, 0, 0, 999, tzinfo=UTC), "2026-08-01T12:00:00+00:00"),
        (datetime(2026, 8, 1, tzinfo=timezone(timedelta(hours=2))), "2026-08-01T00:00:00+02:00"),
        (time(23, 0), "23:00:00"),
        (InstanceState.SHUTTING_DOWN, "shutting-down"),
        (Colour.RED, ["r", 1]),
        (Path("/a/b"), "/a/b"),
        (ip_network("2001:db8::/64"), "2001:db8::/64"),
        ((1, (2,)), [1, [2]]),
        (frozenset({ip_network("10.0.0.9/32"), ip_network("10.0.0.1/32")}), ["10.0.0.1/32", "10.0.0.9/32"]),
        ({1: Decimal(2), "a": Path("b")}, {"1": "2", "a": "b"}),
        (Pair(Pair(1, None), [timedelta(1)]), {"left": {"left": 1, "right": None}, "right": [86_400.0]}),
    ],
)
def test_each_type_has_one_form(value: object, expected: object) -> None:
    assert plain(value) == expected
    assert json.loads(dumps(value)) == expected


def test_what_only_the_terminal_s_view_needs_is_not_printed() -> None:
    done = JobStarted(job="train", host=HOST)
    assert plain([done]) == [{"job": "train", "behind": []}]


def test_the_whole_config_has_one() -> None:
    expected = json.loads(dumps(Config()))
    assert expected["limits"] == {
        "max_hours": 43_200,
        "stop_at": None,
        "forgotten_after": 14 * 86_400,
        "budget": None,
    }
    assert expected["instance_types"] == ["g4dn.xlarge"]


def test_it_can_be_written_to_any_pipe() -> None:
    """A file's name may have bytes that are not text, and standard output may be ASCII."""
    expected = {"path": Path("/a/\udce9"), "ä": "✓"}
    assert dumps(expected).isascii()
    assert json.loads(dumps(expected)) == {"path": "/a/\udce9", "ä": "✓"}
