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
# Names that a person may take for it, in any case.
_VARIANTS = frozenset({"config.yaml", "config.yml"})


def find() -> Path | None:
    """The config.yaml that rules the present folder, absolute if it is in a parent; None for all defaults.

    Raises InputError where a folder has only another spelling of the name.
    """
    here = _present_folder()
    for folder in _searched(here):
        path = folder / NAME
        if os.path.lexists(path) or not os.access(folder, os.X_OK):
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


def _searched(folder: Path) -> Iterator[Path]:
    chain = [folder, *folder.parents]
    home = _home()
    last = next((i for i, one in enumerate(chain) if one == home or os.path.lexists(one / ".git")), 0)
    yield from chain[: last + 1]


def _home() -> Path | None:
    """As the present folder is told by the system: without symbolic links."""
    try:
        return Path.home().resolve()
    except (RuntimeError, OSError):
        return None


def _variant(folder: Path) -> str | None:
    try:
        names = os.listdir(folder)
    except OSError:
        return None  # a folder that may be entered and not listed
    return next((name for name in sorted(names) if name.lower() in _VARIANTS), None)
