"""Prepares ~/scratch at each boot. gpu-box-scratch.service runs a copy of this file.

`scratch.py mount`, as root: mounts one file system over the local NVMe and writes the result to RECORD.
`scratch.py link`, as the user: makes ~/scratch a link to it, or a folder on the disk.

EC2 gives a machine blank NVMe at each start and erases it at each stop; a reboot keeps it (EC2 User Guide,
"Data persistence for Amazon EC2 instance store volumes"). So blank devices are formatted, devices with our
label are mounted, and all others are left alone. The Deep Learning AMI mounts the NVMe itself
(dlami-nvme.service: LVM over all devices, ext4, mode 1777); that mount is used as it is.

btrfs spans several devices (raid0) without a RAID or LVM volume to assemble at each boot.
"""

import contextlib
import glob
import json
import os
import shutil
import subprocess
import sys
from typing import Any, Dict, List, Tuple

MODEL = "Amazon EC2 NVMe Instance Storage"  # in sysfs; an EBS volume is an "Amazon Elastic Block Store"
LABEL = "gpu-box-scratch"  # of our file system; ext4 takes 16 characters
DLAMI = "/opt/dlami/nvme"
PLACE = "/var/lib/gpu-box/scratch"  # where ours is mounted
RECORD = "/run/gpu-box/scratch.json"  # {"mount": path or "", "why": the problem or "", "devices": count}
BLOCKS, NUMBERS = "/sys/block", "/sys/dev/block"
_OPTIONS = "noatime,nosuid,nodev"
_BLANK = 2  # exit status of `blkid -p` for a device without any signature (blkid(8))


class Unusable(Exception):
    """The NVMe cannot be used. The text says why, for the user."""


def mount() -> None:
    """Mount the NVMe and write RECORD. Problems are recorded, not raised."""
    devices = instance_store()
    found, why = "", ""
    try:
        found = _mounted(devices) or _make(devices)
    except Unusable as problem:
        why = str(problem)
    os.makedirs(os.path.dirname(RECORD), exist_ok=True)
    with open(RECORD + ".new", "w", encoding="utf-8") as file:
        json.dump({"mount": found, "why": why, "devices": len(devices)}, file)
    os.replace(RECORD + ".new", RECORD)


def instance_store() -> List[str]:
    """The local NVMe devices (/dev/nvme1n1, ...), recognised by model; never an EBS volume."""
    found = []
    for path in sorted(glob.glob(BLOCKS + "/*/device/model")):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            if file.read().strip() == MODEL:
                found.append("/dev/" + path.split("/")[-3])
    return found


def is_blank(device: str) -> bool:
    """Whether it holds no file system, partition table, LVM or RAID member and is not in use."""
    try:
        # EBUSY: it is mounted, swap, or part of a volume that is in use (open(2), O_EXCL on block devices).
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    except OSError:
        return False
    status, said = _blkid("-o", "export", device)
    return status == _BLANK and not said


def link(home: str) -> None:
    """Make ~/scratch a link to the NVMe, or a folder. Keeps the user's own files and links."""
    path, target = os.path.join(home, "scratch"), read_record().get("mount", "")
    leads_to = os.readlink(path) if os.path.islink(path) else ""
    if leads_to in (DLAMI, PLACE) and leads_to != target:
        os.unlink(path)
    if not target:
        if not os.path.lexists(path):
            os.mkdir(path)
        return
    if leads_to != target:
        try:
            if os.path.lexists(path):
                os.rmdir(path)
            os.symlink(target, path)
        except OSError:
            return  # a folder with files in it, a file, or the user's own link
    with contextlib.suppress(OSError):  # another user's
        # For $TMPDIR (setup/shell.sh); private, although others may write beside it.
        os.makedirs(os.path.join(path, "tmp"), 0o700, exist_ok=True)


def read_record() -> Dict[str, Any]:
    """The content of RECORD; {} before the first `mount` of this boot."""
    try:
        with open(RECORD, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _mounted(devices: List[str]) -> str:
    """Where the image or gpu-box has mounted the NVMe, or ""."""
    if not devices:
        return ""
    if os.path.ismount(PLACE):
        return PLACE
    if not os.path.ismount(DLAMI):
        return ""
    number = os.stat(DLAMI).st_dev
    return DLAMI if _lies_on("%d:%d" % (os.major(number), os.minor(number)), devices) else ""


def _lies_on(number: str, devices: List[str]) -> bool:
    """Whether the block device "259:1" is one of these devices, a partition of one, or a volume over them."""
    here = os.path.realpath(os.path.join(NUMBERS, number))
    whole = os.path.dirname(here)  # the disk of a partition
    if "/dev/" + os.path.basename(here) in devices or "/dev/" + os.path.basename(whole) in devices:
        return True
    below = []  # the devices of an LVM or RAID volume
    for path in glob.glob(here + "/slaves/*/dev"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            below.append(file.read().strip())
    return any(_lies_on(one, devices) for one in below)


def _make(devices: List[str]) -> str:
    if not devices:
        return ""
    ours = [one for one in devices if _blkid("-s", "LABEL", "-o", "value", one)[1] == LABEL]
    if not ours:
        ours = [one for one in devices if is_blank(one)]
        if not ours:
            raise Unusable("%s is in use or holds data, and is left alone" % ", ".join(devices))
        if len(ours) > 1 and not shutil.which("mkfs.btrfs"):
            ours = ours[:1]
        _format(ours)
    also = ["device=" + one for one in ours] if len(ours) > 1 else []
    os.makedirs(PLACE, exist_ok=True)
    _run(["mount", "-o", ",".join([_OPTIONS, *also]), ours[0], PLACE])
    os.chmod(PLACE, 0o1777)
    return PLACE


def _format(devices: List[str]) -> None:
    """Format without discarding: EC2's devices are trimmed, and discarding terabytes takes minutes."""
    if len(devices) == 1:
        _run(["mkfs.ext4", "-q", "-E", "nodiscard", "-m", "0", "-L", LABEL, *devices])
    else:
        _run(["mkfs.btrfs", "-q", "--nodiscard", "-d", "raid0", "-m", "raid0", "-L", LABEL, *devices])


def _blkid(*words: str) -> Tuple[int, str]:
    """Probe the device without blkid's cache. Returns (exit status, output)."""
    try:
        done = subprocess.run(
            ["blkid", "-p", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return -1, ""
    return done.returncode, done.stdout.decode("utf-8", "replace").strip()


def _run(words: List[str]) -> str:
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise Unusable("%s: %s" % (words[0], error.strerror)) from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        raise Unusable("%s failed: %s" % (words[0], said or "status %d" % done.returncode))
    return done.stdout.decode("utf-8", "replace")


if __name__ == "__main__":
    if sys.argv[1:] == ["mount"]:
        os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
        mount()
    elif sys.argv[1:] == ["link"]:
        link(os.path.expanduser("~"))
    else:
        sys.exit("usage: scratch.py mount|link")
