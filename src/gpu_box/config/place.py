"""Find the config.yaml that applies to a folder: in the folder itself or in a parent.

The search ends at the root of the git repository or at the home folder, both included, whichever comes first.
Outside both it stays in the folder, because a parent such as /tmp may be writable by anyone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gpu_box.errors import InputError

NAME = "config.yaml"
_REMEDY = "Change the folder's permissions, or name the file with --config."
# Names that are easily mistaken for it, in any case.
_VARIANTS = frozenset({"config.yaml", "config.yml"})


def find() -> Path | None:
    """The config.yaml for the current folder, absolute if it is in a parent; None for all defaults.

    Raises InputError if the folder has only another spelling of the name, or is not readable.
    """
    here = _present_folder()
    for folder in _searched(here):
        path = folder / NAME
        if _exists(path):
            return Path(NAME) if folder == here else path  # reading it reports its errors
        if variant := _variant(folder):
            raise InputError(
                f"is ignored: the config must be named {NAME}",
                where=str(folder / variant),
                remedy=f"Rename it to {NAME}, or name another file with --config.",
            )
    return None


def _present_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        remedy = "Change to an existing folder and run it again."
        raise InputError("the current folder no longer exists", remedy=remedy) from None
    except PermissionError:  # macOS needs to read the parents
        raise InputError(f"cannot look for {NAME}: permission denied", where=".", remedy=_REMEDY) from None


def _searched(folder: Path) -> Iterator[Path]:
    chain = [folder, *folder.parents]
    home = _home()
    last = next((i for i, one in enumerate(chain) if one == home or _exists(one / ".git")), 0)
    yield from chain[: last + 1]


def _exists(path: Path) -> bool:
    """Whether anything exists there, even a broken link. Raises InputError if that cannot be determined."""
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
    """Resolve symbolic links, as the system does for the current folder."""
    try:
        return Path.home().resolve()
    except (RuntimeError, OSError):
        return None


def _variant(folder: Path) -> str | None:
    try:
        names = os.listdir(folder)
    except PermissionError:  # searchable but not listable: another spelling may be hidden
        raise _denied(folder) from None
    except OSError:
        return None
    return next((name for name in sorted(names) if name.lower() in _VARIANTS), None)
