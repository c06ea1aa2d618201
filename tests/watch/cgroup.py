"""Control groups for real processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def group(path: str) -> Iterator[Path]:
    """A cgroup v2 group and its parents; removed afterwards."""
    mounts = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
    mount = next((mount for mount in mounts if Path(mount, "cgroup.procs").exists()), mounts[1])
    made: list[Path] = []
    try:
        for folder in [*reversed(Path(path).parents), Path(path)]:
            here = Path(mount, folder)
            if not here.exists():
                here.mkdir()
                made.append(here)
    except OSError as error:
        pytest.skip(f"needs a writable cgroup file system: {error}")
    try:
        yield here
    finally:
        for here in reversed(made):
            with contextlib.suppress(OSError):
                here.rmdir()
