"""The size of ~/scratch on the local NVMe, which a stop erases.

scratch/scratch.py records the mount point at each boot.
"""

import contextlib
import os
from typing import NamedTuple

from .. import place
from .text import read, values

# An empty file system's own tables take less (ext4 14 KB; btrfs over two devices 6 MB).
_EMPTY = 16 << 20


class Scratch(NamedTuple):
    """size, used: bytes."""

    mount: str
    size: int
    used: int


def scratch() -> "Scratch | None":
    """The mounted local NVMe, or None."""
    with contextlib.suppress(OSError, ValueError):
        mount = str(values(read(os.path.join(place.find().run, "scratch.json"))).get("mount", ""))
        if mount and os.path.ismount(mount):
            space = os.statvfs(mount)
            used = (space.f_blocks - space.f_bfree) * space.f_frsize
            return Scratch(mount, space.f_blocks * space.f_frsize, used)
    return None


def lost() -> int:
    """Bytes that a stop would erase; 0 if the file system is empty."""
    found = scratch()
    return found.used if found and found.used > _EMPTY else 0


def warning() -> str:
    """A sentence to append to a warning, or ""."""
    gone = lost()
    return ". %.1f GB in ~/scratch will be lost" % (gone / 1e9) if gone else ""
