"""What the user agrees to before files are sent: a large upload, a second project in the same ~/work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from gpu_box.aws.client import Cloud
from gpu_box.box import project
from gpu_box.errors import one_line
from gpu_box.machine.files.selection import Entry, Selection
from gpu_box.store import agreed_upload, last_project
from gpu_box.units import format_bytes, format_duration

LARGE_BYTES = 10**9
_LINKS_MBIT = (10, 100)  # upload rates of usual connections, for an idea of the time
_BIGGEST = 3
_NEARLY_ALL = 0.9  # of a folder's bytes: its sub-folder is named instead


@dataclass(frozen=True)
class Upload:
    """folder: the project. size: bytes of all its files. questions: for the user, each a sentence."""

    folder: Path
    size: int
    questions: tuple[str, ...]


def ahead(cloud: Cloud) -> Upload | None:
    """The upload that `up` or `sync` may do; None without a project. Raises InputError for a bad folder."""
    folder = project.folder(cloud.config)
    if folder is None:
        return None
    asked = []
    if other := last_project.other(cloud.memory("project"), folder):
        asked.append(
            f"~/work of {cloud.config.name} has the project of {one_line(other)}, and would also get that of "
            f"{one_line(folder)}; "
            "`name` in config.yaml, or --name, makes another box. Mix them?"
        )
    chosen = Selection(folder, project.excluded(cloud.config))
    size = chosen.summary.size
    if size - agreed_upload.read(cloud.memory("upload")) >= LARGE_BYTES:
        times = " or ".join(f"{_time(size, rate)} at {rate} Mbit/s" for rate in _LINKS_MBIT)
        asked.append(
            f"Up to {format_bytes(size)} would be sent: {', '.join(biggest(chosen.entries))}. That takes "
            f"{times}. sync.exclude in config.yaml, or .gitignore, leaves paths out. Send all?"
        )
    project.offer(chosen)
    return Upload(folder, size, tuple(asked))


def agreed(cloud: Cloud, upload: Upload) -> None:
    """Remember the answers, so that each question comes once."""
    last_project.remember(cloud.memory("project"), upload.folder)
    if upload.size >= LARGE_BYTES:
        agreed_upload.remember(cloud.memory("upload"), upload.size)


def biggest(entries: Iterable[Entry]) -> list[str]:
    """The paths with the most bytes, each with its size."""
    sizes: Counter[str] = Counter()
    children: dict[str, set[str]] = {}
    for entry in entries:
        parts = entry.shown.split("/")
        for depth in range(len(parts)):
            path, above = "/".join(parts[: depth + 1]), "/".join(parts[:depth])
            sizes[path] += entry.size
            children.setdefault(above, set()).add(path)
    tops = sorted(children.get("", ()), key=lambda path: -sizes[path])[:_BIGGEST]
    return [
        f"{path} ({format_bytes(sizes[path])})" for path in (_deepest(top, sizes, children) for top in tops)
    ]


def _deepest(path: str, sizes: Counter[str], children: dict[str, set[str]]) -> str:
    while below := children.get(path):
        largest = max(below, key=lambda child: sizes[child])
        if sizes[largest] < _NEARLY_ALL * sizes[path]:
            break
        path = largest
    return path


def _time(size: int, rate_mbit: int) -> str:
    return format_duration(timedelta(seconds=size * 8 / (rate_mbit * 1e6)))
