"""Why PyTorch cannot use an NVIDIA card, in one line with what to do.

Drivers: https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html (CUDA 12 runs on
driver 525 or newer, CUDA 13 on 580). Kernels: a cubin runs on its own major compute capability from its own
minor on, PTX on every later one (CUDA C++ Programming Guide, "Binary Compatibility", "PTX Compatibility").
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import torch

from vgg16 import Problem

_INDEX = "https://download.pytorch.org/whl"
_OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}  # by CUDA's major version
_DRIVER = Path("/proc/driver/nvidia/version")
_SIDE = 256  # of the matrices that are multiplied


def named(name: str | None) -> torch.device:
    """The device of this name; None is a card that PyTorch cannot use. Raises Problem."""
    if name is None:
        raise Problem(f"{why_not()}. To compute on the CPU all the same: --device cpu, Vgg16(device='cpu')")
    try:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
            raise RuntimeError  # as PyTorch for a name that it does not know; it knows mps and meta
        device = torch.device(name)
    except RuntimeError:
        raise Problem(f"--device {name}: there is no such device; use cuda, cuda:1 or cpu") from None
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise Problem(f"--device {name}: {why_not()}")
    if (count := torch.cuda.device_count()) <= (device.index or 0):
        raise Problem(f"--device {name}: this machine's GPUs are cuda:0 to cuda:{count - 1}")
    return device


def why_not() -> str:
    """Returns what keeps PyTorch from CUDA; "" if nothing does."""
    if torch.version.cuda is None:
        return _without_cuda(driver())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of, it raises here
            torch.cuda.init()
    except Exception as error:  # RuntimeError, AssertionError, torch.AcceleratorError
        return explain(str(error), driver(), torch.version.cuda)
    return ""


def failures() -> list[str]:
    """Tries a matrix product on every card; returns a line for each that fails. `why_not` comes first."""
    found = []
    for number in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(number)
        capability = torch.cuda.get_device_capability(number)
        if not has_kernels(torch.cuda.get_arch_list(), capability):
            found.append(
                f"PyTorch {torch.__version__} has no kernels for {name} (compute capability "
                f"{capability[0]}.{capability[1]}; it has {', '.join(torch.cuda.get_arch_list())}): "
                "choose another GPU type (`instance_types` in config.yaml)"
            )
        elif problem := _multiply(number):
            found.append(f"{name} (cuda:{number}) cannot multiply two matrices: {problem}")
    return found


def has_kernels(built_for: Iterable[str], capability: tuple[int, int]) -> bool:
    """built_for: as torch.cuda.get_arch_list has it, "sm_86" for machine code, "compute_120" for PTX."""
    major, minor = capability
    for arch in built_for:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", arch)
        if match is None:
            continue
        kind, of_major, of_minor, only = match[1], int(match[2]), int(match[3]), match[4]
        if only == "a":  # for that architecture alone
            fits = (of_major, of_minor) == (major, minor)
        elif kind == "compute" and not only:
            fits = (of_major, of_minor) <= (major, minor)
        else:
            fits = of_major == major and of_minor <= minor
        if fits:
            return True
    return False


def explain(said: str, driver: str, cuda: str) -> str:
    """said: PyTorch's error. driver: its version, "" for none. cuda: what PyTorch is built for, "13.0"."""
    if "driver on your system is too old" in said:
        major = int(cuda.partition(".")[0])
        oldest = f"driver {_OLDEST_DRIVER[major]}" if major in _OLDEST_DRIVER else "one"
        return (
            f"the NVIDIA driver {driver} is too old for this PyTorch: CUDA {cuda} needs {oldest} or newer. "
            f"Let the machine reach {_INDEX}, which has builds for older drivers, or take an image with a "
            "newer driver; then `gpu-box up`"
        )
    if "no NVIDIA driver" in said:
        return "no NVIDIA driver runs: `gpu-box up` installs or repairs it, and says if it cannot"
    if re.search(r"\b802\b", said):  # cudaErrorSystemNotReady
        return (
            "the cards' NVSwitch fabric is not ready (CUDA error 802): nvidia-fabricmanager must run, in "
            f"exactly the driver's version {driver}; see `systemctl status nvidia-fabricmanager`"
        )
    if re.search(r"\b803\b", said):  # cudaErrorSystemDriverMismatch
        return (
            "the driver in the kernel and its libraries are of different versions (CUDA error 803): "
            "`gpu-box stop`, then `gpu-box up`"
        )
    first = next((line.strip() for line in said.splitlines() if line.strip()), "no reason given")
    return f"PyTorch cannot use the NVIDIA card: {first}; `gpu-box doctor` looks at the driver"


def driver() -> str:
    """Version of the driver in the kernel, "" if none is loaded."""
    try:
        text = _DRIVER.read_text(errors="replace")
    except OSError:
        return ""
    match = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", text)
    return match[1] if match else ""


def _without_cuda(driver: str) -> str:
    what = f"PyTorch {torch.__version__} is a build without CUDA, and cannot use the NVIDIA card"
    if not driver:
        return f"{what}: no NVIDIA driver runs; `gpu-box up` installs or repairs it, then PyTorch"
    if int(driver.partition(".")[0]) < _OLDEST_DRIVER[12]:
        return (
            f"{what}: no build of it runs on driver {driver}; take an image with driver "
            f"{_OLDEST_DRIVER[12]} or newer"
        )
    return f"{what}: builds with CUDA come from {_INDEX}; let the machine reach it, then run `gpu-box up`"


def _multiply(number: int) -> str:
    """Returns what went wrong; "" if nothing did, or if the card's memory is in use."""
    try:
        ones = torch.ones(_SIDE, _SIDE, device=f"cuda:{number}")
        total = float((ones @ ones).sum())
    except Exception as error:  # RuntimeError, torch.AcceleratorError
        said = str(error)
        if "out of memory" in said or "ALLOC_FAILED" in said:
            return ""
        return next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)
    return "" if total == _SIDE**3 else f"the sum is {total:.0f} instead of {_SIDE**3}"
