"""What the worker processes do: read picture files, decode them or leave that to the GPU, make batches."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vgg16.data.augment import Augment
from vgg16.data.images import open_image, pixels, whole_jpeg
from vgg16.errors import UnreadableImage
from vgg16.preprocess import Preprocessing


class Loaded(NamedTuple):
    """A batch as the workers leave it. rows: (n,) of what could be read, each of it in images or encoded."""

    images: Tensor
    """(m, 3, size, size) bytes: those that a worker decoded."""
    rows: Tensor
    encoded: Tensor
    """The bytes of the other n - m files, one behind the other."""
    lengths: Tensor
    """(n,) of each row in encoded; 0: it is the next one in images."""
    problems: list[tuple[int, str]]


class Pictures(Dataset[tuple[int, np.ndarray | bytes | str]]):
    """Row number -> (row number, pixels, or a JPEG for the GPU, or why there is nothing). Runs in the worker
    processes.
    """

    def __init__(
        self,
        root: Path,
        files: tuple[str, ...],
        preprocessing: Preprocessing,
        augment: Augment | None,
        seed: tuple[int, int],
        encoded: bool,
    ) -> None:
        self._root, self._files, self._preprocessing = root, files, preprocessing
        self._augment, self._seed = augment, seed
        self._encoded = encoded

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, row: int) -> tuple[int, np.ndarray | bytes | str]:
        path = self._root / self._files[row]
        if self._encoded and (jpeg := whole_jpeg(path)) is not None:
            return row, jpeg
        try:
            image = open_image(path, self._preprocessing)
        except UnreadableImage as error:
            return row, str(error)
        if self._augment is not None:
            image = self._augment.vary(image, np.random.default_rng((*self._seed, row)))
        return row, pixels(image, self._preprocessing)


def collate(items: list[tuple[int, np.ndarray | bytes | str]]) -> Loaded:
    found = [(row, thing) for row, thing in items if not isinstance(thing, str)]
    decoded = [thing for _, thing in found if isinstance(thing, np.ndarray)]
    # As one tensor: it comes out of the worker through shared memory.
    encoded = b"".join(thing for _, thing in found if isinstance(thing, bytes))
    return Loaded(
        images=torch.from_numpy(np.stack(decoded)) if decoded else torch.empty(0),
        rows=torch.tensor([row for row, _ in found], dtype=torch.int64),
        encoded=torch.frombuffer(bytearray(encoded), dtype=torch.uint8) if encoded else torch.empty(0),
        lengths=torch.tensor([len(thing) if isinstance(thing, bytes) else 0 for _, thing in found]),
        problems=[(row, thing) for row, thing in items if isinstance(thing, str)],
    )


def as_loaded(loaded: Loaded) -> tuple[Tensor, Tensor, list[tuple[int, str]]]:
    """Of a batch that was decoded by the workers alone."""
    return loaded.images, loaded.rows, loaded.problems
