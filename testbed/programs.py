"""Finds programs on this computer, including those in sbin."""

from __future__ import annotations

import os
import shutil

# Debian keeps sshd in /usr/sbin, which is not on the PATH of an ordinary user.
_ADMIN = ("/usr/sbin", "/sbin", "/usr/local/sbin")


def find(program: str) -> str | None:
    """The full path of a program, or None."""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_ADMIN]))


def missing(*names: str) -> str:
    """ "needs sshd, ps": the programs that are not installed, or ""."""
    absent = [name for name in names if find(name) is None]
    return f"needs {', '.join(absent)}" if absent else ""
