"""Runs gpu-box's clock as fast as the embedded cloud's: no wait is skipped and no limit grows."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Clock:
    """Replaces the module `time`."""

    faster: float

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self.faster)

    def monotonic(self) -> float:
        return time.monotonic() * self.faster

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextmanager
def compressed(faster: float) -> Iterator[None]:
    """As `compress`, within the block."""
    with pytest.MonkeyPatch.context() as patch:
        compress(patch, faster)
        yield


def compress(monkeypatch: pytest.MonkeyPatch, faster: float) -> None:
    """For every imported module of gpu_box, and for the SDK's waits between two attempts of a call."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("gpu_box.", "botocore.endpoint")) and getattr(module, "time", None) is time:
            monkeypatch.setattr(module, "time", Clock(faster))
