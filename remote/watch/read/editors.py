"""Files saved from an editor on a laptop (VS Code and its kin): their servers keep a history of each save.

The connection and the server's own CPU are no work; a save is a person's.
"""

import contextlib
import os
from typing import List, Tuple

from ..sample import Used
from .as_user import acting_as
from .change import Changes
from .people import User
from .text import names

SERVERS = (
    ".vscode-server",
    ".vscode-server-insiders",
    ".cursor-server",
    ".windsurf-server",
    ".vscodium-server",
)
MOST = 2000  # files' histories looked at, per server


class Editors:
    def __init__(self) -> None:
        self._changes = Changes()
        self._looked = float("-inf")
        self._saves: List[Tuple[str, float]] = []  # editor, Unix time of its last save

    def read(self, users: List[User], *, mono: float, wall: float, slow: float) -> Tuple[Used, ...]:
        """One for each editor that ever saved a file. slow: s between two looks into the histories."""
        if mono - self._looked >= slow:
            self._looked = mono
            self._saves = [save for user in users for save in _saves(user)]
        return tuple(
            Used(name.rpartition("/.")[2], self._changes.quiet(name, last, mono=mono, age=wall - last))
            for name, last in self._saves
        )


def _saves(user: User) -> List[Tuple[str, float]]:
    found = []
    with contextlib.suppress(OSError), acting_as(user):
        for server in SERVERS:
            last = _last_save(os.path.join(user.home, server, "data/User/History"))
            if last:
                found.append((os.path.join(user.home, server), last))
    return found


def _last_save(history: str) -> float:
    """Each file has a folder there, whose entries.json is written anew with each save. 0: no save."""
    last = 0.0
    with contextlib.suppress(OSError):
        for name in names(history, MOST):
            with contextlib.suppress(OSError):
                last = max(last, os.stat(os.path.join(history, name, "entries.json")).st_mtime)
    return last
