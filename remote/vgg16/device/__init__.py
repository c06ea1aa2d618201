"""The device (a GPU that works, or the CPU), its fast precision, and the processes that share the work.

The CPU is never used by mistake: on a machine with an NVIDIA card that PyTorch cannot use, `choose` fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

_DEVICES = Path("/dev")
_PCI = Path("/sys/bus/pci/devices")
_NVIDIA = "0x10de"  # PCI vendor
_DISPLAY_CLASSES = ("0x0300", "0x0302")  # VGA and 3D controllers; NVIDIA makes bridges and sound, too

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
NAMES = ("auto", *DTYPES)
T = TypeVar("T")


def choose(name: str | None = None) -> torch.device:
    """name: "cuda", "cuda:1", "cpu"; None for a GPU, or for the CPU if the machine has no NVIDIA card.

    Raises Problem for another name, and for a card that PyTorch cannot use.
    """
    if name is None and torch.cuda.is_available():
        return torch.device("cuda")
    if name == "cpu" or (name is None and not has_card()):
        return torch.device("cpu")
    from vgg16.device import cuda

    return cuda.named(name)


def has_card() -> bool:
    """Whether this machine has an NVIDIA card with NVIDIA's driver or with none.

    A card of another driver (nouveau, vfio-pci) does not count, nor one that CUDA_VISIBLE_DEVICES hides.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return (_DEVICES / "nvidia0").exists() or any(_is_idle_card(device) for device in _PCI.glob("*"))


def _is_idle_card(device: Path) -> bool:
    try:
        vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
    except OSError:
        return False
    return vendor == _NVIDIA and kind.startswith(_DISPLAY_CLASSES) and not (device / "driver").exists()


@dataclass(frozen=True)
class Precision:
    """The type of the products on a device: "fp32"; `half.Half` for "fp16" and "bf16"."""

    name: str
    device: torch.device

    def autocast(self) -> AbstractContextManager[object]:
        return nullcontext()

    def cast_once(self, net: nn.Module, start: int = 0) -> AbstractContextManager[None]:
        """Frozen weights are in the compute type. start: the first layer of the classifier that runs."""
        return nullcontext()


def choose_precision(name: str, device: torch.device) -> Precision:
    """name: one of NAMES; "auto": bf16 from Ampere on, fp16 on Volta and Turing (T4), else fp32.

    Raises Problem for another name.
    """
    if name == "fp32" or (name == "auto" and device.type == "cpu"):
        return Precision("fp32", device)
    from vgg16.device import half

    return half.choose(name, device)


class Ranks:
    """The processes that share the work: this one alone. `distributed` has those that torchrun starts."""

    rank, world, device = 0, 1, None
    first = True  # it alone prints and writes

    def owned(self, rows: np.ndarray) -> np.ndarray:
        """The row numbers that are always this rank's, in any batch."""
        return rows[rows % self.world == self.rank]

    def sum(self, tensor: Tensor) -> Tensor:
        """Over all ranks, in place."""
        return tensor

    def gather(self, thing: T) -> list[T]:
        """Every rank's, in order of rank."""
        return [thing]

    def firsts(self, thing: T) -> T:
        """The first rank's, for all."""
        return thing

    def unite(self, found: dict[int, str]) -> None:
        """Add every rank's entries to found."""

    def until_ended(self, steps: Iterable[T]) -> Iterable[T]:
        """The steps, up to the one in which this rank is asked to end (`ending`). Used inside `together`."""
        return steps

    def together(self) -> AbstractContextManager[None]:
        """On leaving, raises Ended on all ranks if one is asked to end, OSError if one of them met one."""
        return nullcontext()


ALONE = Ranks()
