"""git's list of a checkout's files, with every .gitignore, info/exclude and core.excludesFile applied."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_S = 60.0
_UNREADABLE = re.compile(
    rb"^warning: (?:could not open directory|unable to access) '(.+?)/?': Permission denied$", re.MULTILINE
)
# git sets these for its hooks; they may name another repository than this folder's.
_HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """paths: relative to the folder; a repository in it may end with a slash. unreadable: paths that git
    cannot open. empty: folders without files.
    """

    paths: tuple[str, ...]
    unreadable: tuple[str, ...]
    empty: tuple[str, ...]


def list_files(folder: Path) -> Listed | None:
    """Tracked files, and untracked ones that are not ignored. None without git, outside a checkout, or if the
    checkout ignores the folder itself.
    """
    if not is_checkout(folder):
        return None
    files = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    others = _git(folder, "ls-files", "-z", "--others", "--directory", "--exclude-standard")
    if files is None or others is None:
        return None
    folders = [path for path in others.stdout.split(b"\0") if path.endswith(b"/")]
    return Listed(
        paths=tuple(sorted({os.fsdecode(path) for path in files.stdout.split(b"\0") if path})),
        unreadable=tuple(sorted({os.fsdecode(path) for path in _UNREADABLE.findall(files.stderr)})),
        empty=tuple(os.fsdecode(path[:-1]) for path in folders if _is_empty(folder / os.fsdecode(path))),
    )


def ignored(folder: Path, paths: Sequence[str]) -> set[str] | None:
    """Those of `paths`, which need not exist, that git ignores; all if git cannot say. None as above."""
    if not is_checkout(folder):
        return None
    asked = b"".join(os.fsencode(path) + b"\0" for path in paths)
    done = _git(folder, "check-ignore", "-z", "--stdin", "--no-index", stdin=asked, fine=(0, 1))
    return set(paths) if done is None else {os.fsdecode(path) for path in done.stdout.split(b"\0") if path}


def is_checkout(folder: Path) -> bool:
    """Whether git is installed and the folder is in a checkout that does not ignore it."""
    if not shutil.which("git"):
        return False
    place = _git(folder, "rev-parse", "--show-prefix")
    inside = place is not None and bool(place.stdout.strip())
    return place is not None and not (inside and _git(folder, "check-ignore", "-q", ".") is not None)


def _is_empty(folder: Path) -> bool:
    unreadable: list[OSError] = []
    return not any(files for _, _, files in os.walk(folder, onerror=unreadable.append)) and not unreadable


def _git(
    folder: Path, *words: str, stdin: bytes = b"", fine: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess[bytes] | None:
    """None if git refuses: no checkout, another user's (safe.directory), or a broken one."""
    environment = {name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES}
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *words]
    try:
        done = subprocess.run(
            command,
            env={**environment, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
            input=stdin,
            capture_output=True,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done if done.returncode in fine else None
