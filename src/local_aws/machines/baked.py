"""The disks of images made from an instance: copied when the image is made, and used by its instances."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path


class BakedDisks:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, image_id: str, disk: Path) -> None:
        """Copy a machine's disk for the image; an empty one if the machine never ran."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if disk.is_dir():
            _copy(disk, self._folder / image_id)
        else:
            (self._folder / image_id).mkdir(exist_ok=True)

    def has(self, image_id: str) -> bool:
        return (self._folder / image_id).is_dir()

    def put(self, image_id: str, disk: Path) -> None:
        """Put a copy of the image's disk at `disk`, for a machine that has none yet."""
        if self.has(image_id) and not disk.exists():
            _copy(self._folder / image_id, disk)

    def forget_all_but(self, image_ids: Collection[str]) -> None:
        if self._folder.is_dir():
            for kept in self._folder.iterdir():
                if kept.name.removesuffix(_UNFINISHED) not in image_ids:
                    shutil.rmtree(kept, ignore_errors=True)


_UNFINISHED = ".new"


def _copy(source: Path, target: Path) -> None:
    """Copy atomically, with `cp`, which keeps an overlay's devices and attributes.

    A file of a running machine that vanishes meanwhile is left out, as after a power cut.
    """
    unfinished = target.with_name(target.name + _UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    subprocess.run(["cp", "-al", str(source), str(unfinished)], capture_output=True, check=False)
    for names in _own_files(unfinished):
        _part(names)
    unfinished.rename(target)


def _own_files(linked: Path) -> list[list[Path]]:
    """The disk's own files, each with its names. linked: a disk whose files are all linked to another disk's.

    Files that the other disk shares with the outside are not its own: uv links packages to its cache,
    gigabytes that are never written to. The copy goes on sharing them.
    """
    names: defaultdict[int, list[Path]] = defaultdict(list)
    for folder, _, files in os.walk(linked):
        for file in files:
            path = Path(folder, file)
            about = path.lstat()
            if stat.S_ISREG(about.st_mode):
                names[about.st_ino].append(path)
    return [same for same in names.values() if same[0].stat().st_nlink <= 2 * len(same)]


def _part(names: list[Path]) -> None:
    """Replace a shared file under these names by a copy. What cannot be read is left out."""
    first, *others = names
    new, about = first.with_name(first.name + _UNFINISHED), first.stat()
    try:
        shutil.copyfile(first, new)
    except PermissionError:
        for name in names:
            name.unlink()
        return
    os.chown(new, about.st_uid, about.st_gid)
    shutil.copystat(first, new)
    new.replace(first)
    for other in others:
        other.unlink()
        other.hardlink_to(first)
