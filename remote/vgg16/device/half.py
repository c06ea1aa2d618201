"""Half precision: frozen weights cast once, instead of at every step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def cast_once(net: nn.Module, dtype: torch.dtype, start: int) -> Iterator[None]:
    """Inside, frozen weights are of type dtype. start: the first layer of `classifier` that runs.

    autocast would cast them again at every step (0.5 GB). The rounding is the same, so no result changes.
    """
    layers = list(net.get_submodule("classifier").children())[start:] if start else [net]
    used = [each for layer in layers for each in layer.parameters()]
    frozen = [each for each in used if not (each.requires_grad and torch.is_grad_enabled())]
    kept = [parameter.data for parameter in frozen]
    try:
        with torch.inference_mode(False), torch.no_grad():
            for parameter in frozen:
                parameter.data = parameter.data.to(dtype)
        yield
    finally:
        for parameter, data in zip(frozen, kept, strict=True):
            parameter.data = data
