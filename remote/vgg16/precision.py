"""Which numbers the device multiplies fast: bf16 from Ampere on, fp16 on Volta and Turing (T4)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from vgg16.errors import Problem

NAMES = ("auto", "fp32", "fp16", "bf16")


@dataclass(frozen=True)
class Precision:
    name: str
    device: torch.device

    def autocast(self) -> AbstractContextManager[object]:
        if self.name == "fp32":
            return nullcontext()
        kind = torch.bfloat16 if self.name == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=kind)

    def scaler(self) -> torch.amp.GradScaler:
        """Half precision loses small gradients unless the loss is scaled up; elsewhere it does nothing."""
        return torch.amp.GradScaler(
            self.device.type, enabled=self.name == "fp16" and self.device.type == "cuda"
        )


def choose(name: str, device: torch.device) -> Precision:
    """name: one of NAMES; "auto" takes what the device is fast at. Raises Problem for another name."""
    if name not in NAMES:
        raise Problem(f"precision {name!r}: take one of {', '.join(NAMES)}")
    if name != "auto":
        return Precision(name, device)
    if device.type != "cuda":
        return Precision("fp32", device)
    capability = torch.cuda.get_device_capability(device)
    return Precision("bf16" if capability >= (8, 0) else "fp16" if capability >= (7, 0) else "fp32", device)
