"""The NVIDIA card and its driver, from small files in /proc, /sys and /lib; nvidia-smi takes up to 2 s."""

import glob
import os
import re
import shutil
from pathlib import Path
from typing import List, Optional

ROOT = "/"  # tests replace it
_NVIDIA = "0x10de"  # PCI vendor
_DISPLAY_CLASSES = ("0x0300", "0x0302")  # VGA and 3D controllers; NVIDIA also makes bridges and sound devices
_NVSWITCH_CLASS = (
    "0x0680"  # "Bridge [0680]: NVIDIA Corporation GH100 [H100 NVSwitch] [10de:22a3]" (lspci -nn)
)
_LIBRARIES = (
    "usr/lib/*-linux-gnu/libnvidia-ml.so.1",
    "usr/lib64/libnvidia-ml.so.1",
    "usr/lib/libnvidia-ml.so.1",
)


def present() -> bool:
    return bool(models()) or _has_device(*_DISPLAY_CLASSES)


def has_nvswitch() -> bool:
    """Whether this is a machine like p4d or p5, on which CUDA needs nvidia-fabricmanager."""
    return _has_device(_NVSWITCH_CLASS)


def models() -> List[str]:
    """Names of the cards, such as ["Tesla T4"]; empty without a running driver."""
    found = []
    for path in sorted(glob.glob(ROOT + "proc/driver/nvidia/gpus/*/information")):
        match = re.search(r"^Model:\s*(.+)$", read(path), re.MULTILINE)
        if match:
            found.append(match.group(1).strip())
    return found


def module_version() -> Optional[str]:
    """Version of the loaded kernel module, or None."""
    match = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", read(ROOT + "proc/driver/nvidia/version"))
    return match.group(1) if match else None


def library_version() -> Optional[str]:
    """Version of the driver's library on disk, or None if missing or unknown."""
    for pattern in _LIBRARIES:
        for link in glob.glob(ROOT + pattern):
            version = os.path.realpath(link).rpartition(".so.")[2]
            if re.match(r"\d+\.\d+", version):
                return version
    return None


def driver_on_disk() -> bool:
    """Whether a driver is installed in any state, so that no other must be installed over it."""
    return bool(shutil.which("nvidia-smi") or sources() or library_version() or kernels_with_module())


def kernels_with_module() -> List[str]:
    """Kernel releases with an NVIDIA module, built by DKMS or packaged."""
    found = glob.glob(ROOT + "lib/modules/*/**/nvidia.ko*", recursive=True)
    return sorted({path[len(ROOT) :].split("/")[2] for path in found})


def sources() -> List[str]:
    """DKMS folders with the driver's sources."""
    return glob.glob(ROOT + "usr/src/nvidia-*")


def next_kernel() -> str:
    """The kernel that boots next: the newest, in GRUB's order. "" if /boot has none."""
    names = [path.rpartition("vmlinuz-")[2] for path in glob.glob(ROOT + "boot/vmlinuz-*")]
    return max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)], default="")


def describe() -> str:
    """The cards to display: "Tesla T4", "2 x Tesla T4" or ""."""
    names = models()
    if not names:
        return ""
    return names[0] if len(names) == 1 else "%d x %s" % (len(names), names[0])


def _has_device(*classes: str) -> bool:
    """Whether there is an NVIDIA PCI device of one of these classes."""
    return any(
        read(device + "/vendor").strip() == _NVIDIA and read(device + "/class").startswith(classes)
        for device in glob.glob(ROOT + "sys/bus/pci/devices/*")
    )


def read(path: str) -> str:
    """The file's text; "" if it cannot be read."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
