"""The disks behind images that were made of an instance: copied when the image is made, and put below what is
launched from it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path


class BakedDisks:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, image_id: str, disk: Path) -> None:
        """Copy a machine's disk; one of a machine that never ran is empty."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if disk.is_dir():
            _copy(disk, self._folder / image_id)
        else:
            (self._folder / image_id).mkdir(exist_ok=True)

    def has(self, image_id: str) -> bool:
        return (self._folder / image_id).is_dir()

    def put(self, image_id: str, disk: Path) -> None:
        """Where the disk of a machine is to be, which has none yet."""
        if self.has(image_id) and not disk.exists():
            _copy(self._folder / image_id, disk)

    def forget_all_but(self, image_ids: Collection[str]) -> None:
        if self._folder.is_dir():
            for kept in self._folder.iterdir():
                if kept.name.removesuffix(_UNFINISHED) not in image_ids:
                    shutil.rmtree(kept, ignore_errors=True)


_UNFINISHED = ".new"


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all. With `cp`, which keeps an overlay's devices and attributes.

    Of a machine that runs, a file that vanishes meanwhile is left out, as a power cut would have it.
    """
    unfinished = target.with_name(target.name + _UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    subprocess.run(["cp", "-a", str(source), str(unfinished)], capture_output=True, check=False)
    unfinished.rename(target)
