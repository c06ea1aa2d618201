"""A process that walks: it has a stage of its own, and is handed scenarios."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

from ..races import pairs
from ..races.pairs import Interleaved
from . import outages
from .faults import Called, Place
from .outages import Served
from .stage import Outcome, Stage

_stage: Stage
_NOT_OURS = ("AWS_", "BOTO_", "GPU_BOX_")


def begin(folder: str) -> None:
    """In the worker, once."""
    global _stage
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in [name for name in os.environ if name.startswith(_NOT_OURS)]:
        del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    _stage = Stage(Path(tempfile.mkdtemp(dir=folder)))


def calls_of(name: str) -> list[Called]:
    return _stage.calls_of(name)


def run(scenarios: list[tuple[str, Place, str]]) -> list[Outcome]:
    return [_stage.run(*scenario) for scenario in scenarios]


def outage(scenarios: list[tuple[str, str, str]]) -> list[Served]:
    return [outages.run(_stage, *scenario) for scenario in scenarios]


def interleave(every: list[tuple[str, int]]) -> list[Interleaved]:
    return [pairs.run(_stage, name, seed) for name, seed in every]
