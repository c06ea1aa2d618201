"""Half precision: products in 16 bits, frozen weights cast once instead of at every step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

from vgg16 import Problem
from vgg16.device import DTYPES, NAMES, Precision


class Half(Precision):
    """fp16 or bf16."""

    def autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, dtype=DTYPES[self.name])

    @contextmanager
    def cast_once(self, net: nn.Module, start: int = 0) -> Iterator[None]:
        """autocast alone would cast at every step (0.5 GB). The rounding is the same: no result changes."""
        layers = list(net.get_submodule("classifier").children())[start:] if start else [net]
        used = [each for layer in layers for each in layer.parameters()]
        frozen = [each for each in used if not (each.requires_grad and torch.is_grad_enabled())]
        kept = [parameter.data for parameter in frozen]
        try:
            with torch.inference_mode(False), torch.no_grad():
                for parameter in frozen:
                    parameter.data = parameter.data.to(DTYPES[self.name])
            yield
        finally:
            for parameter, data in zip(frozen, kept, strict=True):
                parameter.data = data


def choose(name: str, device: torch.device) -> Precision:
    """As `device.choose_precision`, which asks for what is not plainly fp32."""
    if name not in NAMES:
        raise Problem(f"precision {name!r}: take one of {', '.join(NAMES)}")
    if name == "auto":
        capability = torch.cuda.get_device_capability(device)
        name = "bf16" if capability >= (8, 0) else "fp16" if capability >= (7, 0) else "fp32"
    return Precision(name, device) if name == "fp32" else Half(name, device)
