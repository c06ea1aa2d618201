"""Which files of a folder travel: what git would see, less what the config excludes, and never secrets."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_box.errors import InputError
from gpu_box.machine.files.local_folder import leads_inside

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec  # imported where it is used: 60 ms

# In .gitignore's own syntax. The last are what an interrupted transfer leaves.
ALWAYS_EXCLUDED = (
    ".git", ".venv", "venv/", "__pycache__/", ".ipynb_checkpoints/", ".mypy_cache/", ".pytest_cache/",
    ".ruff_cache/", "node_modules/", ".DS_Store", ".ssh/", ".aws/", ".kaggle/", "kaggle.json", ".gpu-box/",
    ".gpu-box-partial/", "*.gpu-box-part",
)  # fmt: skip
# Results are made on the box and come down by `pull`; an older copy here must not go up over them.
_NEVER_UP = ("/results/",)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file, or a link where target is set. path: relative, "/" between; mtime: whole seconds since 1970."""

    path: str
    size: int
    mtime: int
    mode: int
    target: str = ""

    @property
    def shown(self) -> str:
        """The path for a message: a name need not be UTF-8."""
        return self.path.encode("utf-8", "replace").decode()

    def same_as(self, other: Entry | None) -> bool:
        if other is None or self.target or other.target:
            return other is not None and self.target == other.target
        return self.size == other.size and self.mtime == other.mtime


@dataclass(frozen=True)
class Selection:
    """What goes up from `folder`. The folder is walked once, when the entries are first needed.

    exclude: .gitignore patterns on top of the folder's own .gitignore files.
    """

    folder: Path
    exclude: tuple[str, ...] = ()

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Raises InputError for a missing folder and for a pattern that cannot be read."""
        if not self.folder.is_dir():
            raise InputError(
                "there is no such folder", where=str(self.folder), remedy="Set sync.source to yours."
            )
        return tuple(select(self.folder, [*self.exclude, *_NEVER_UP]))

    @cached_property
    def fingerprint(self) -> str:
        """A short name for all the entries: paths, sizes, times, modes."""
        listed = "\n".join(map(repr, self.entries))
        return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def select(folder: Path, exclude: Sequence[str]) -> list[Entry]:
    """Every file below `folder` that is to travel, by path. A .gitignore counts for its own folder."""
    ours = exclusion(exclude)
    return sorted(_walk(folder, "", [("", ours)]), key=lambda entry: entry.path)


def exclusion(exclude: Iterable[str]) -> GitIgnoreSpec:
    return _spec([*exclude, *ALWAYS_EXCLUDED], where="sync.exclude")


def _walk(folder: Path, base: str, specs: list[tuple[str, GitIgnoreSpec]]) -> Iterator[Entry]:
    """base: of `folder`, "" or with a slash at its end; specs: each with the base that it is about."""
    ignore = folder / ".gitignore"
    if ignore.is_file():
        lines = ignore.read_text(encoding="utf-8", errors="replace").splitlines()
        specs = [*specs, (base, _spec(lines, where=str(ignore)))]
    with os.scandir(folder) as found:
        for item in found:
            path = base + item.name
            is_folder = item.is_dir(follow_symlinks=False)
            if _ignored(path + "/" * is_folder, specs):
                continue
            if is_folder:
                yield from _walk(Path(item.path), path + "/", specs)
            elif entry := _entry(item, path):
                yield entry


def _ignored(path: str, specs: list[tuple[str, GitIgnoreSpec]]) -> bool:
    """The deepest .gitignore that speaks of the path decides; ours cannot be overruled."""
    if specs[0][1].match_file(path):
        return True
    for base, spec in reversed(specs[1:]):
        verdict = spec.check_file(path[len(base) :]).include
        if verdict is not None:
            return bool(verdict)
    return False


def _entry(item: os.DirEntry[str], path: str) -> Entry | None:
    """None for what is neither file nor link, or leads out of the folder, or has just gone."""
    try:
        found = item.stat(follow_symlinks=False)
        target = os.readlink(item.path) if stat.S_ISLNK(found.st_mode) else ""
    except FileNotFoundError:
        return None
    if not (stat.S_ISREG(found.st_mode) or (target and leads_inside(os.fsencode(path), os.fsencode(target)))):
        return None
    return Entry(
        path=path,
        size=found.st_size,
        mtime=int(found.st_mtime),
        mode=stat.S_IMODE(found.st_mode),
        target=target,
    )


def _spec(lines: Iterable[str], *, where: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise InputError(f"a pattern cannot be read: {error}", where=where) from None
