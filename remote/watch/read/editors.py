"""Saves in remote editors (VS Code and its relatives), from the history that their servers keep.

Only a save counts as use, not the connection or the server's CPU.
"""

import contextlib
import os
from typing import List, Tuple

from ..sample import Used
from .as_user import acting_as
from .change import Changes
from .people import User
from .text import names

# Folders with VS Code's User/History, the local history of each file (workingCopyHistory in its source).
HISTORIES = (
    *(".vscode-server/data", ".vscode-server-insiders/data", ".cursor-server/data", ".windsurf-server/data"),
    *(".vscodium-server/data", ".positron-server/data", ".trae-server/data", ".kiro-server/data"),
    *(".antigravity-server/data", ".antigravity-ide-server/data", ".local/share/code-server"),
)
# JetBrains IDEs keep LocalHistory in each IDE's system folder.
JETBRAINS = ".cache/JetBrains"
IDES = 100  # IDE folders read, at most
MOST = 20000  # file histories read per server, at most


class Editors:
    def __init__(self) -> None:
        self._changes = Changes()
        self._looked = float("-inf")
        self._saves: List[Tuple[str, float]] = []  # editor, Unix time of its last save

    def read(self, users: List[User], *, mono: float, wall: float, slow: float) -> Tuple[Used, ...]:
        """One reading per editor that ever saved a file. slow: s between two reads of the histories."""
        if mono - self._looked >= slow:
            self._looked = mono
            self._saves = [save for user in users for save in _saves(user)]
        return tuple(
            Used(_label(name), self._changes.quiet(name, last, mono=mono, age=wall - last))
            for name, last in self._saves
        )


def _label(path: str) -> str:
    """ "vscode-server" for ".../.vscode-server/data"."""
    return path[: -len("/data")].rpartition("/.")[2] if path.endswith("/data") else os.path.basename(path)


def _saves(user: User) -> List[Tuple[str, float]]:
    found = []
    with contextlib.suppress(OSError), acting_as(user):
        for folder in HISTORIES:
            path = os.path.join(user.home, folder)
            last = _last_save(os.path.join(path, "User/History"))
            if last:
                found.append((path, last))
        for path in _jetbrains(os.path.join(user.home, JETBRAINS)):
            with contextlib.suppress(OSError):
                found.append((path, os.stat(os.path.join(path, "LocalHistory/changes.storageData")).st_mtime))
    return found


def _jetbrains(folder: str) -> List[str]:
    """The system folders of a user's IDEs, including remote development (RemoteDev-PY)."""
    with contextlib.suppress(OSError):
        return [os.path.join(folder, name) for name in names(folder, IDES)]
    return []


def _last_save(history: str) -> float:
    """Unix time of the last save, or 0. Each file has a folder whose entries.json each save rewrites."""
    last = 0.0
    with contextlib.suppress(OSError):
        for name in names(history, MOST):
            with contextlib.suppress(OSError):
                last = max(last, os.stat(os.path.join(history, name, "entries.json")).st_mtime)
    return last
