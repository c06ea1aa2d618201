"""Values of options and environment variables. Raises ArgumentTypeError, which argparse makes one line."""

from __future__ import annotations

import math
import os
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from vgg16 import Problem

T = TypeVar("T")
_MOST_SEED = 2**63 - 1


def path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ArgumentTypeError(f"{text!r}: there is no such user, so no home folder") from None


def weights(text: str) -> str:
    """imagenet, FILE or caffe:FILE, as it is."""
    for file in (text, text.partition(":")[2]):
        path(file)
    return text


def positive(text: str) -> int:
    return _whole(text, 1)


def size(text: str) -> int:
    return _whole(text, 32)


def seed(text: str) -> int:
    if (number := _whole(text, 0)) > _MOST_SEED:
        raise ArgumentTypeError(f"{_MOST_SEED} or less is needed")
    return number


def rate(text: str) -> float:
    # Beyond, weights overflow in the first step.
    if not 0 <= (number := _real(text)) <= 1000:
        raise ArgumentTypeError("0 to 1000 is needed")
    return number


def clip(text: str) -> float:
    if not 0 <= (number := _real(text)) < 0.5:
        raise ArgumentTypeError("0 to 0.5 is needed")
    return number


def price(text: str) -> float:
    if not 0 <= (number := _real(text)) < math.inf:
        raise ArgumentTypeError("a number of dollars, 0 or more, is needed")
    return number


def variable(name: str, kind: Callable[[str], T]) -> T | None:
    """An environment variable's; None if it is not set, or empty. Raises Problem."""
    if not (text := os.environ.get(name)):
        return None
    try:
        return kind(text)
    except ArgumentTypeError as error:
        raise Problem(f"${name} is {text!r}: {error}") from None


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise ArgumentTypeError(f"a whole number is needed, not {text[:60]!r}") from None
    if number < least:
        raise ArgumentTypeError(f"{least} or more is needed")
    return number


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"a number is needed, not {text[:60]!r}") from None
