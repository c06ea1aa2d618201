"""Answers of the wrong shape, made from right ones: a value replaced, removed, repeated or renamed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

# What a terminal would obey, what rich would read as markup, and what no encoding can print.
TEXTS = (
    "\x1b]0;pwned\x07", "\x1b]52;c;cHdu\x07", "\x9b2J", "\x1b[2J\x1b[H", "\u202egnp.exe", "\u2066x\u2069",
    "\0", "\r\rroot", "a\nb", "[/]", "[red]x", "[link=http://x]y[/link]", ":cloud:", "\udc80", "\ud800",
    "{0}", "%s", "\u200f\u061c", "\U000e0041", "x" * 5000, "", " ", "NaN", "1e999", "-1", "0x10", "١٢",
    "../../x", "null",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    *TEXTS, None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**300, 1e308, -1e308, 1e-320,
    float("inf"), float("-inf"), float("nan"), 0.5, [], {}, [[]], [{}], {"": None}, [None] * 3,
    {"a": {"a": {"a": 1}}}, {"__class__": "x"}, [1, 2, 3, 4, 5],
)  # fmt: skip
# No JSON, or none that has an end.
BROKEN = (
    "", " ", "{", "[", "null", "[" * 100_000, '{"a":' * 100_000, "\0", '"\\ud800"', "9" * 5000, "{}{}",
    "NaN", "<html><body>Access denied", "Welcome to Ubuntu", "\x1b[2J", '{"steps": ', "\ufeff{}",
)  # fmt: skip


def mutations(right: Any, *, count: int, seed: int = 0) -> Iterator[str]:
    """So many answers, the same each time."""
    yield from BROKEN
    chance = random.Random(seed)
    places = list(_places(right))
    for _ in range(count - len(BROKEN)):
        wrong = deepcopy(right)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            wrong = _changed(wrong, chance.choice(places), chance)
        text = json.dumps(wrong)
        yield text[: chance.randrange(len(text) + 1)] if chance.random() < 0.05 else text


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _places(item, (*path, key))


def _changed(value: Any, path: tuple[Any, ...], chance: random.Random) -> Any:
    """A change at that place; at one that an earlier change took away, none."""
    new = deepcopy(chance.choice(VALUES))
    if not path:
        return new if chance.random() < 0.1 else value
    inside = value
    try:
        for step in path[:-1]:
            inside = inside[step]
        last = path[-1]
        how = chance.randrange(4)
        if how == 0:
            del inside[last]
        elif how == 1 and isinstance(inside, dict):
            inside[chance.choice(TEXTS)] = inside.pop(last)
        elif how == 1:
            inside[last] = [inside[last]] * 3
        else:
            inside[last] = new
    except (LookupError, TypeError):
        pass
    return value
