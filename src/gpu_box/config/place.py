"""Find the config.yaml that rules a folder: in the folder itself, else in its parents.

The search ends at the root of the git repository or at the home folder, whichever comes first, both
included. Outside of both it does not leave the folder: a parent such as /tmp may be written by anyone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gpu_box.errors import InputError

NAME = "config.yaml"
_REMEDY = "Change the folder's permissions, or name the file with --config."
# Names that a person may take for it, in any case.
_VARIANTS = frozenset({"config.yaml", "config.yml"})


def find() -> Path | None:
    """The config.yaml that rules the present folder, absolute if it is in a parent; None for all defaults.

    Raises InputError for a folder that has only another spelling of the name, or may not be read.
    """
    here = _present_folder()
    for folder in _searched(here):
        path = folder / NAME
        if _exists(path):
            return Path(NAME) if folder == here else path  # reading it tells what is wrong with it
        if variant := _variant(folder):
            raise InputError(
                f"is not read: the config is called {NAME}",
                where=str(folder / variant),
                remedy=f"Rename it to {NAME}, or name another file with --config.",
            )
    return None


def _present_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        remedy = "Go to one that is there, and run it again."
        raise InputError("the present folder is gone", remedy=remedy) from None
    except PermissionError:  # macOS asks the parents for its name
        raise InputError(f"cannot look for {NAME}: permission denied", where=".", remedy=_REMEDY) from None


def _searched(folder: Path) -> Iterator[Path]:
    chain = [folder, *folder.parents]
    home = _home()
    last = next((i for i, one in enumerate(chain) if one == home or _exists(one / ".git")), 0)
    yield from chain[: last + 1]


def _exists(path: Path) -> bool:
    """Whether there is anything, be it a broken link. Raises InputError where that cannot be seen."""
    try:
        path.lstat()
    except PermissionError:
        closed = (folder for folder in reversed(path.parents) if not os.access(folder, os.X_OK))
        raise _denied(next(closed, path.parent)) from None
    except OSError:
        return False
    return True


def _denied(folder: Path) -> InputError:
    return InputError(f"cannot look for {NAME}: permission denied", where=str(folder), remedy=_REMEDY)


def _home() -> Path | None:
    """As the present folder is told by the system: without symbolic links."""
    try:
        return Path.home().resolve()
    except (RuntimeError, OSError):
        return None


def _variant(folder: Path) -> str | None:
    try:
        names = os.listdir(folder)
    except PermissionError:  # it may be entered and not listed: the config may have another spelling
        raise _denied(folder) from None
    except OSError:
        return None
    return next((name for name in sorted(names) if name.lower() in _VARIANTS), None)
