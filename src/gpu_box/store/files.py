"""Paths of gpu-box's own files on this laptop."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from gpu_box.errors import InputError

# What reading a damaged file of ours can raise, once it is JSON.
GARBAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


def data_home() -> Path:
    """$GPU_BOX_HOME, or the user's data folder (XDG Base Directory, which ignores relative paths).

    For this user alone; made by the first file that is written there. Raises InputError.
    """
    own = os.environ.get("GPU_BOX_HOME")
    folder = Path(own).absolute() if own else _shared() / "gpu-box"
    _require_private(folder)
    return folder


def not_written(error: OSError) -> InputError | None:
    """The error for what could not be made in `data_home`; None if the error is about another file."""
    named = error.filename
    if not isinstance(named, str | bytes):
        return None
    folder, at = data_home(), Path(os.fsdecode(named))
    if not (at.is_relative_to(folder) or folder.is_relative_to(at)):  # making it begins at a parent
        return None
    name = "GPU_BOX_HOME" if os.environ.get("GPU_BOX_HOME") else "HOME or XDG_DATA_HOME"
    return InputError(
        f"cannot be written ({error.strerror})",
        where=str(at),
        remedy=f"Set {name} to a folder that you can write.",
    )


def _shared() -> Path:
    """The user's data folder."""
    try:
        data = Path(os.environ.get("XDG_DATA_HOME", "")).expanduser()
        return data if data.is_absolute() else Path.home() / ".local" / "share"
    except RuntimeError:
        raise InputError(
            "you have no home folder", where="HOME", remedy="Set HOME to a folder that you can write."
        ) from None


def cache_home() -> Path | None:
    """gpu-box's folder in the user's cache folder; None if there is none, or it is another user's: a cache is
    dispensable.
    """
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gpu-box"
    except RuntimeError:  # no home folder
        return None
    return None if _not_private(folder) else folder


def _require_private(folder: Path) -> None:
    if problem := _not_private(folder):
        raise InputError(
            problem, where=str(folder), remedy="Remove it, or set GPU_BOX_HOME to a folder of your own."
        )


def _not_private(folder: Path) -> str:
    """Why a folder of ours is not for this user alone, or "". Closes one that others may enter.

    A link of this user's to such a folder is fine.
    """
    try:
        link, found = folder.lstat(), folder.stat()
    except OSError:
        return ""  # not there yet: `write_whole` makes it for this user alone
    if not stat.S_ISDIR(found.st_mode):
        return "this is no folder"
    if {link.st_uid, found.st_uid} != {os.getuid()}:
        return "this folder belongs to another user"
    if found.st_mode & 0o077:
        with suppress(OSError):
            folder.chmod(0o700)
    return ""


def file_of_box(kind: str, *, cloud: str, profile: str | None, region: str, box: str) -> Path:
    """A box's file of one kind. cloud: EC2's host and port, so that clouds share nothing."""
    parts = [safe_name(part) for part in (cloud, profile or "default", region, box)]
    return data_home().joinpath(kind, *parts[:-1], f"{parts[-1]}.json")


def safe_name(word: str) -> str:
    """A file name with everything but letters, digits, dots and hyphens replaced."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", word)
