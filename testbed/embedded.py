"""An embedded cloud as a user of `--local` has one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpu_box.resources import local_policies
from local_aws import daemon


@contextmanager
def embedded(home: Path) -> Iterator[dict[str, str]]:
    """Yield the exports of gpu-box's user. The cloud ends with the block."""
    yield daemon.start(home, local_policies())
    daemon.stop(home)
