"""Features between the GPU and the cache: copied while the GPU works, and held in its memory."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vgg16.cache import from_memory

if TYPE_CHECKING:
    from vgg16.cache import Append, FeatureCache, Features


class Behind:
    """append(keys, features) for features on the GPU, one batch late: while the GPU computes the next one.

    Leaving without an error appends the last one.
    """

    def __init__(self, append: Append) -> None:
        self._append = append
        self._write: Callable[[], None] | None = None

    def __call__(self, keys: list[str], features: Tensor) -> None:
        before, self._write = self._write, self._copied(keys, features)
        if before:
            before()

    def __enter__(self) -> Behind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._write and error is None:
            self._write()

    def _copied(self, keys: list[str], features: Tensor) -> Callable[[], None]:
        """Start copying features to main memory. The result waits for that and appends them."""
        rows, arrived = features.to("cpu", non_blocking=True), None
        if features.is_cuda:
            arrived = torch.cuda.Event()
            arrived.record()

        def write() -> None:
            if arrived:
                arrived.synchronize()
            self._append(keys, rows)

        return write


def reader(cache: FeatureCache, keys: dict[int, str], mine: np.ndarray, device: torch.device) -> Features:
    """From the GPU's memory if they take less than half of what is free there (23,000 pictures: 0.2 GB);
    then an epoch copies nothing.
    """
    if len(mine) * cache.row_bytes < _free_bytes(device) / 2:
        features = torch.empty(len(mine), cache.width, dtype=cache.dtype, device=device)
        for at in range(0, len(mine), 256):
            some = mine[at : at + 256].tolist()
            features[at : at + len(some)] = cache.rows([keys[row] for row in some])
        return from_memory(features, mine)
    return lambda rows: cache.rows([keys[row] for row in rows.tolist()]).pin_memory()


def _free_bytes(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0]
