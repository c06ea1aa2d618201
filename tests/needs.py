"""What a test needs of this machine; where that is missing, it is skipped with the reason.

`conftest.py` lists the reasons, with counts, at the end of a run: they are the same words everywhere.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gpu_box.machine.files.rsync import usable

# Debian keeps sshd in /usr/sbin, which is not on the PATH of an ordinary user.
_ADMIN = ("/usr/sbin", "/sbin", "/usr/local/sbin")

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
ordinary_user = pytest.mark.skipif(os.geteuid() == 0, reason="needs an ordinary user: root may do everything")

rsync = pytest.mark.skipif(not usable(), reason="needs rsync")
TRANSPORTS = ["sftp", pytest.param("rsync", marks=rsync)]


def find(program: str) -> str | None:
    """Where a program is, also one for administrators."""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_ADMIN]))


def programs(*names: str) -> pytest.MarkDecorator:
    """Mark: the test needs these programs."""
    missing = _missing(names)
    return pytest.mark.skipif(bool(missing), reason=missing)


def require_programs(*names: str) -> None:
    """The same in a fixture, or in the middle of a test."""
    if missing := _missing(names):
        pytest.skip(missing)


def require_one_of(name: str, *places: str) -> str:
    """The first of these files that exists: a program that is in no folder of PATH."""
    found = next((place for place in places if Path(place).exists()), None)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def closed_folder(beside: Path) -> Path:
    """A folder that may not be entered. Root may enter any; a name that is too long fails in its place."""
    if os.geteuid() == 0:
        return beside / ("x" * 300)
    closed = beside / "closed"
    closed.mkdir(mode=0)
    return closed


def _missing(names: tuple[str, ...]) -> str:
    missing = [name for name in names if find(name) is None]
    return f"needs {', '.join(missing)}" if missing else ""
