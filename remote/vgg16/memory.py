"""A forward pass without gradients, in as many parts as the GPU's memory takes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vgg16.errors import TrainingFailed


class Portions:
    """Halves what is computed at once whenever memory does not hold it, says so, and keeps to that."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._parts = 1

    def __call__(self, forward: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """forward: (n, ...) -> (n, ...), whose rows do not depend on each other. Raises TrainingFailed."""
        while True:
            out = self._tried(forward, inputs)
            if out is not None:
                return out
            if self._parts >= len(inputs):
                raise TrainingFailed(
                    "out of memory with a single picture: take a smaller --image-size, or a larger box"
                )
            self._parts *= 2
            self._say(f"out of memory: from here on {-(-len(inputs) // self._parts)} pictures at once")
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _tried(self, forward: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor | None:
        # The error holds what was computed until then, and is let go of before the next try.
        try:
            if self._parts == 1:
                return forward(inputs)
            return torch.cat([forward(part) for part in inputs.chunk(self._parts)])
        except torch.OutOfMemoryError:
            return None
