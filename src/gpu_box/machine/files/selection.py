"""The files of a folder to transfer: those git would see, minus the config's exclusions and secrets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from gpu_box.errors import InputError
from gpu_box.machine.files import git, last_list
from gpu_box.machine.files.ignore import Patterns
from gpu_box.machine.files.last_list import Summary
from gpu_box.machine.files.shared import is_normal, is_printable, leads_inside

# In .gitignore syntax. The last ones are remains of an interrupted transfer.
ALWAYS_EXCLUDED = (
    ".git", ".venv", "venv/", "__pycache__/", ".ipynb_checkpoints/", ".mypy_cache/", ".pytest_cache/",
    ".ruff_cache/", "node_modules/", ".DS_Store", ".ssh/", ".aws/", ".kaggle/", "kaggle.json", ".gpu-box/",
    ".gpu-box-partial/", "*.gpu-box-part",
)  # fmt: skip
# Results are made on the box and pulled; an older local copy must not overwrite them.
_NEVER_UP = ("/results/",)
_UNREADABLE = "cannot be read"
_SHORT = 63  # characters of a path; at most 252 bytes, and a name may have 255


class Entry(NamedTuple):
    """A file, or a link if target is set. path: relative, with "/"; mtime: whole seconds since 1970.

    stamp: of a local file; changes with its content or mode, even if mtime does not.
    """

    path: str
    size: int
    mtime: int
    mode: int
    target: str = ""
    stamp: str = ""

    @property
    def shown(self) -> str:
        """The path for a message; a file name need not be UTF-8."""
        return self.path.encode("utf-8", "replace").decode()

    def same_as(self, other: Entry | None) -> bool:
        if other is None or self.target or other.target:
            return other is not None and self.target == other.target
        return self.size == other.size and self.mtime == other.mtime


@dataclass(frozen=True, kw_only=True)
class Scan:
    """entries: sorted by path. left: reason -> paths that cannot be sent although nothing excludes them.

    broken: a line for each pattern of a .gitignore that is incomplete. linked: a .gitignore is a link, which
    may lead out of the folder.
    """

    entries: tuple[Entry, ...]
    left: dict[str, list[str]]
    broken: tuple[str, ...] = ()
    linked: bool = False


@dataclass(frozen=True)
class Selection:
    """The files of `folder` to upload. The folder is walked at most once, when its list is first needed.

    exclude: .gitignore patterns in addition to the folder's own .gitignore files.
    """

    folder: Path
    exclude: tuple[str, ...] = ()

    @cached_property
    def scan(self) -> Scan:
        """Raises InputError for a missing folder, or an invalid pattern in `exclude`."""
        self._last.wait()  # the walk must not be older than what `find` sees
        if not self.folder.is_dir():
            raise InputError(
                "there is no such folder", where=str(self.folder), remedy="Set sync.source to yours."
            )
        return select(self.folder, [*self.exclude, *_NEVER_UP])

    def unexcluded(self, paths: Sequence[str]) -> list[str]:
        """Those of `paths` that do not exist here and that neither the config nor .gitignore excludes."""
        absent = [path for path in paths if not os.path.lexists(self.folder / path)]
        walk = _Walk(self.folder, exclusion([*self.exclude, *_NEVER_UP]))
        ignored = git.ignored(self.folder, absent)
        if ignored is None:
            ignored = {path for path in absent if walk.ignores(path)}
        return [path for path in absent if path not in ignored and not walk.ours.ignores(path)]

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self.scan.entries

    @cached_property
    def _last(self) -> last_list.LastList:
        pruned = [name.rstrip("/") for name in ALWAYS_EXCLUDED if "*" not in name]
        return last_list.LastList(self.folder, [*self.exclude, *_NEVER_UP, *ALWAYS_EXCLUDED], pruned)

    def begin(self) -> None:
        """Look in the background whether the last list of a large folder is still right."""
        self._last.begin()

    @property
    def many(self) -> bool:
        """Whether there were very many files the last time."""
        return self._last.known

    @cached_property
    def summary(self) -> Summary:
        """Without a walk where nothing has changed since the last one. Raises as `scan` does."""
        if known := self._last.summary():
            return known
        summary = _summary(self.scan)
        if not self.scan.linked and _UNREADABLE not in self.scan.left:  # `find` would not see them change
            self._last.remember(summary)
        return summary

    @property
    def folders(self) -> dict[str, str]:
        """The folders with files, each with a digest of their names and stamps (remote/sync/unchanged.py)."""
        return self.summary.folders

    @cached_property
    def fingerprint(self) -> str:
        """A short hash that changes with any file's path, content or mode."""
        return hashlib.sha256(repr(sorted(self.folders.items())).encode()).hexdigest()[:16]


def _summary(scan: Scan) -> Summary:
    files: dict[str, list[bytes]] = {}
    for entry in scan.entries:
        folder, _, name = entry.path.rpartition("/")
        files.setdefault(folder, []).append(os.fsencode(f"{name} {entry.stamp}"))
    digests = {
        folder: hashlib.sha256(b"\0".join(sorted(names))).hexdigest() for folder, names in files.items()
    }
    return Summary(
        folders=digests,
        count=len(scan.entries),
        size=sum(entry.size for entry in scan.entries),
        left=scan.left,
        broken=scan.broken,
    )


def select(folder: Path, exclude: Sequence[str]) -> Scan:
    """The files below `folder` to send. In a git checkout git decides what is ignored; elsewhere each
    .gitignore applies to its own folder.
    """
    walk = _Walk(folder, exclusion(exclude))
    walk.enter("")
    entries = sorted(walk.entries, key=attrgetter("path"))
    return Scan(entries=tuple(entries), left=walk.left, broken=tuple(walk.broken), linked=walk.linked)


def exclusion(exclude: Iterable[str], *, where: str = "sync.exclude") -> Patterns:
    """Raises InputError, which names `where`, for a pattern that can match nothing."""
    try:
        return Patterns.of([*exclude, *ALWAYS_EXCLUDED])
    except ValueError as error:
        raise InputError(f"a pattern cannot be read: {error}", where=where) from None


@dataclass
class _Walk:
    root: Path
    ours: Patterns
    entries: list[Entry] = field(default_factory=list)
    left: dict[str, list[str]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    user: int = field(default_factory=os.geteuid)
    linked: bool = False

    def enter(self, base: str) -> None:
        """base: "", or the path of a repository in the folder, ending with a slash."""
        listed = git.list_files(self.root / base)
        if listed is None:
            self._folder(base, [])
            return
        for path in listed.unreadable:
            self._leave(_UNREADABLE, base + path)
        for path in listed.empty:
            self._leave("empty folder", base + path)
        for path in listed.paths:
            found = base + path.rstrip("/")
            if not self._excluded(found):
                self._file(found)

    def ignores(self, path: str) -> bool:
        """Whether the .gitignore files of its folders exclude a file that need not exist."""
        rules: list[tuple[str, Patterns]] = []
        parts = path.split("/")
        for depth in range(len(parts)):
            base = "".join(f"{part}/" for part in parts[:depth])
            with contextlib.suppress(OSError):
                rules.append((base, self._rules(self.root / base / ".gitignore", f"{base}.gitignore")))
            if _ignored(base + parts[depth] + "/" * (depth < len(parts) - 1), rules):
                return True
        return False

    def _folder(self, base: str, rules: list[tuple[str, Patterns]]) -> None:
        """Walk without git. rules: each .gitignore with its folder, the outermost first."""
        try:
            with os.scandir(self.root / base) as found:
                items = sorted(found, key=attrgetter("name"))
        except FileNotFoundError:  # deleted meanwhile
            return
        except OSError:
            self._leave(_UNREADABLE, base.rstrip("/") or ".")
            return
        ignore = self.root / base / ".gitignore"
        try:
            if ignore.is_file():
                self.linked = self.linked or ignore.is_symlink()
                rules = [*rules, (base, self._rules(ignore, f"{base}.gitignore"))]
        except OSError:
            self._leave(_UNREADABLE, f"{base}.gitignore")
        if base and not items:
            self._leave("empty folder", base.rstrip("/"))
        for item in items:
            is_folder = item.is_dir(follow_symlinks=False)
            path = f"{base}{item.name}/" if is_folder else base + item.name
            if self.ours.decide(path) or (rules and _ignored(path, rules)):
                continue
            if is_folder:
                self._folder(path, rules)
            else:
                self._file(path)

    def _rules(self, file: Path, path: str) -> Patterns:
        """Like git, ignore a byte order mark and invalid (half-typed) lines."""
        patterns: list[str] = []
        lines = file.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
        for number, line in enumerate(lines, 1):
            try:
                Patterns.of([line.removesuffix("\r")])
                patterns.append(line.removesuffix("\r"))
            except ValueError:
                self.broken.append(f"{path}: line {number}: pattern {line[:60]!a} is ignored")
        return Patterns.of(patterns)

    def _excluded(self, path: str) -> bool:
        return self.ours.ignores(path)

    def _leave(self, why: str, path: str) -> None:
        if not self._excluded(path) and not self._excluded(f"{path}/"):
            self.left.setdefault(why, []).append(path)

    def _file(self, path: str) -> None:
        full = f"{self.root}/{path}"  # no Path: it would take most of the time with many files
        try:
            found = os.lstat(full)
            target = os.readlink(full) if stat.S_ISLNK(found.st_mode) else ""
        except (FileNotFoundError, NotADirectoryError):  # deleted meanwhile, or in a checkout
            return
        except OSError:
            self._leave(_UNREADABLE, path)
            return
        if stat.S_ISDIR(found.st_mode):  # a repository in a checkout
            if not self._excluded(f"{path}/"):
                self.enter(f"{path}/")
        elif len(path) > _SHORT and not is_normal(os.fsencode(path)):
            self._leave("path too long", path)
        elif not path.isprintable() and not is_printable(os.fsencode(path)):
            self._leave("control characters in the name", path)
        elif target and not leads_inside(os.fsencode(path), os.fsencode(target)):
            self._leave("links out of the project", path)
        elif not target and not stat.S_ISREG(found.st_mode):
            self._leave("not a regular file", path)
        elif not target and not self._readable(full, found):
            self._leave(_UNREADABLE, path)
        else:
            self.entries.append(
                Entry(
                    path=path,
                    size=found.st_size,
                    mtime=found.st_mtime_ns // 10**9,
                    mode=stat.S_IMODE(found.st_mode),
                    target=target,
                    stamp=f"{found.st_mtime_ns:x}.{found.st_ctime_ns:x}",
                )
            )

    def _readable(self, full: str, found: os.stat_result) -> bool:
        if found.st_uid == self.user and found.st_mode & stat.S_IRUSR:
            return True
        return os.access(full, os.R_OK, effective_ids=os.access in os.supports_effective_ids)


def _ignored(path: str, rules: list[tuple[str, Patterns]]) -> bool:
    """The last matching pattern of the deepest matching .gitignore decides.

    Only matches of the path itself count: its folders were matched when the walk entered them.
    """
    for base, patterns in reversed(rules):
        if (decided := patterns.decide(path[len(base) :])) is not None:
            return decided
    return False
