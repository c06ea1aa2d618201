"""The NVIDIA card and its driver, as the kernel shows them: a few small reads, no nvidia-smi (up to 2 s)."""

import glob
import os
import re
from pathlib import Path
from typing import List, Optional

ROOT = "/"  # of the file system that is read
_NVIDIA = "0x10de"  # PCI vendor
_DISPLAY_CLASSES = ("0x0300", "0x0302")  # VGA and 3D controllers; NVIDIA makes bridges and sound too
_LIBRARIES = (
    "usr/lib/*-linux-gnu/libnvidia-ml.so.1",
    "usr/lib64/libnvidia-ml.so.1",
    "usr/lib/libnvidia-ml.so.1",
)


def present() -> bool:
    return bool(models()) or any(_is_card(device) for device in glob.glob(ROOT + "sys/bus/pci/devices/*"))


def models() -> List[str]:
    """Names of the cards that the driver runs: ["Tesla T4"]; none without the driver."""
    found = []
    for path in sorted(glob.glob(ROOT + "proc/driver/nvidia/gpus/*/information")):
        match = re.search(r"^Model:\s*(.+)$", _read(path), re.MULTILINE)
        if match:
            found.append(match.group(1).strip())
    return found


def module_version() -> Optional[str]:
    """Version of the driver in the kernel; None where none is loaded."""
    match = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", _read(ROOT + "proc/driver/nvidia/version"))
    return match.group(1) if match else None


def library_version() -> Optional[str]:
    """Version of the driver's library on disk; None where there is none, or it does not say."""
    for pattern in _LIBRARIES:
        for link in glob.glob(ROOT + pattern):
            version = os.path.realpath(link).rpartition(".so.")[2]
            if re.match(r"\d+\.\d+", version):
                return version
    return None


def needs_reboot() -> bool:
    """The library was updated under a loaded driver: nothing on the card works until a reboot."""
    loaded, on_disk = module_version(), library_version()
    return loaded is not None and on_disk is not None and loaded != on_disk


def describe() -> str:
    """ "Tesla T4", "2 x Tesla T4" or "" """
    names = models()
    if not names:
        return ""
    return names[0] if len(names) == 1 else "%d x %s" % (len(names), names[0])


def _is_card(device: str) -> bool:
    return _read(device + "/vendor").strip() == _NVIDIA and _read(device + "/class").startswith(
        _DISPLAY_CLASSES
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
