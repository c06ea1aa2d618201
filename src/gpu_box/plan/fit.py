"""PURE: whether an image works on an instance type."""

from __future__ import annotations

from gpu_box.errors import InputError
from gpu_box.model.hardware import Hardware

# EC2's GPUs older than Turing. NVIDIA's open kernel modules, used by its installers and AWS's images since
# driver 560, support only Turing and newer (NVIDIA Driver Installation Guide, "Kernel Modules"); the Deep
# Learning AMIs' release notes list no instance type with an older GPU. On plain Ubuntu an older driver would
# load, but PyTorch for CUDA 13 has no code for these GPUs.
_BEFORE_TURING = frozenset({"NVIDIA K520", "NVIDIA K80", "NVIDIA M60", "NVIDIA V100"})
_USUAL = "g4dn.xlarge or g6.xlarge"


def refuse_unfit(hardware: Hardware, *, architecture: str, own_image: bool, where: str) -> None:
    """Raise InputError if a box of this type could not use its accelerator or not boot.

    architecture: EC2's name for the image's. own_image: the user gave the image's id, so it may have any
    driver. where: the key or command that gave the type.
    """
    if architecture not in hardware.architectures:
        runs = " and ".join(sorted(hardware.architectures))
        usual = f", such as {_USUAL}" if architecture == "x86_64" else ""
        raise InputError(
            f"{hardware.type} runs {runs}, and the image is made for {architecture}",
            where=where,
            remedy=f"Choose a type for {architecture}{usual}, or set image.id to an AMI for {runs}.",
        )
    if not own_image and (why := _no_driver(hardware)):
        raise InputError(
            f"{hardware.type} has {why}",
            where=where,
            remedy=f"Choose another type, such as {_USUAL}, or set image.id to an AMI with a driver for it.",
        )


def _no_driver(hardware: Hardware) -> str:
    """Why the driver in AWS's and Ubuntu's images does not work on it, or ""."""
    what = hardware.accelerator
    if what and not what.startswith("NVIDIA "):
        return f"{what}, and the image has a driver for NVIDIA GPUs only"
    if what in _BEFORE_TURING:
        return f"{what}, and the driver and PyTorch of the image support Turing (T4) and newer only"
    if hardware.share > 1:
        # EC2 User Guide, "NVIDIA drivers for your Amazon EC2 instance": G6f and Gr6f need GRID drivers.
        return f"1/{hardware.share} of {what}, which needs NVIDIA's GRID driver; the image has another"
    return ""
