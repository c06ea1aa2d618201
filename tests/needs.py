"""What a test needs of this machine; where that is missing, it is skipped with the reason.

`conftest.py` lists the reasons, with counts, at the end of a run: they are the same words everywhere.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from testbed.programs import missing

from gpu_box.machine.files.rsync import usable

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
ordinary_user = pytest.mark.skipif(os.geteuid() == 0, reason="needs an ordinary user: root may do everything")

rsync = pytest.mark.skipif(not usable(), reason="needs rsync")
TRANSPORTS = ["sftp", pytest.param("rsync", marks=rsync)]


def programs(*names: str) -> pytest.MarkDecorator:
    """Mark: the test needs these programs."""
    reason = missing(*names)
    return pytest.mark.skipif(bool(reason), reason=reason)


def require_programs(*names: str) -> None:
    """The same in a fixture, or in the middle of a test."""
    if reason := missing(*names):
        pytest.skip(reason)


def closed_folder(beside: Path) -> Path:
    """A folder that may not be entered. Root may enter any; a name that is too long fails in its place."""
    if os.geteuid() == 0:
        return beside / ("x" * 300)
    closed = beside / "closed"
    closed.mkdir(mode=0)
    return closed
