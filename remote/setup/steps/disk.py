"""Grows the root file system to the size of its disk, after the volume has grown in AWS.

Images do so at the next boot (cloud-init, growpart); this step does it on a running box.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import List, NamedTuple, Optional

from setup.desired import Desired
from setup.root import as_root
from setup.session import Failed, Session
from setup.step import NOT_ASKED_FOR, State, Step, done, needed, unavailable

_BLOCKS = Path("/sys/class/block")
_SECTOR = 512  # bytes; the unit of /sys/class/block for every disk
_SLACK = 1 << 30  # bytes after the partition to ignore (alignment, backup table)
_GROWERS = {"ext4": ["resize2fs"], "ext3": ["resize2fs"], "xfs": ["xfs_growfs"]}


class Root(NamedTuple):
    """The device of /. Sizes in bytes. disk: "" if it is not a partition."""

    device: str  # nvme0n1p1
    kind: str  # file system type
    disk: str = ""  # nvme0n1
    number: int = 0  # partition number
    behind: int = 0  # unused space after the partition


def check(desired: Desired) -> State:
    root = find()
    if root is None or not root.disk:
        return NOT_ASKED_FOR
    if root.behind < _SLACK:
        return done("the root file system fills its disk")
    free = "%.0f GiB of the disk are not in use" % (root.behind / float(1 << 30))
    if root.kind not in _GROWERS or as_root() is None or not shutil.which("growpart"):
        return unavailable("%s yet; they are after the next stop and start" % free)
    return needed("%s yet" % free)


def apply(desired: Desired, session: Session) -> State:
    root, prefix = find(), as_root()
    if root is None or not root.disk or prefix is None or root.kind not in _GROWERS:
        raise Failed("the root file system cannot be grown here")
    session.run([*prefix, "growpart", "/dev/" + root.disk, str(root.number)], timeout_s=120)
    place = "/" if root.kind == "xfs" else "/dev/" + root.device
    session.run([*prefix, *_GROWERS[root.kind], place], timeout_s=600)
    return check(desired)


def find(blocks: Path = _BLOCKS) -> Optional[Root]:
    """The root device, or None if unknown."""
    if "GPU_BOX_SSHD_DIR" in os.environ:
        return None  # a process of the laptop: the disk is the laptop's
    words = _findmnt()
    if len(words) != 2 or not words[0].startswith("/dev/"):
        return None
    return located(os.path.realpath(words[0]).rpartition("/")[2], words[1], blocks)


def located(device: str, kind: str, blocks: Path) -> Root:
    """Read the partition's geometry from /sys/class/block."""
    here = (blocks / device).resolve()
    if not (here / "partition").exists():
        return Root(device, kind)
    disk = here.parent
    begin, size, whole = _number(here / "start"), _number(here / "size"), _number(disk / "size")
    # The next partition, if any, ends the free space.
    others = [_number(other.parent / "start") for other in disk.glob("*/partition") if other.parent != here]
    end = min([start for start in others if start > begin], default=whole)
    return Root(device, kind, disk.name, _number(here / "partition"), (end - begin - size) * _SECTOR)


def _findmnt() -> List[str]:
    try:
        found = subprocess.run(
            ["findmnt", "-no", "SOURCE,FSTYPE", "/"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return found.stdout.decode().split()


def _number(path: Path) -> int:
    return int(path.read_text())


STEP = Step("disk", check, apply)
