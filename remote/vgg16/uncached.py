"""Training without the feature cache (`cache`): pictures that vary, trained convolutions, a full disk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vgg16.device import Ranks
from vgg16.ending import begin
from vgg16.pictures import Batches, Source, cut


def from_pictures(batches: Batches, ranks: Ranks) -> Source:
    """The whole network on every picture in every pass."""

    def epoch(number: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        plan = [_share(rows, ranks) for rows in batches.plan(number)[skip:]]
        for batch in batches.load(plan, number, every_step=True):
            begin()
            yield batch

    return Source(batches.nb_sample, len(batches), batches.classes, epoch, 0, batches.unreadable)


def from_arrays(
    images: np.ndarray, labels: np.ndarray, batch_size: int, ranks: Ranks, seed: int | None = None
) -> Source:
    """images (n, 3, size, size), labels one-hot or class numbers, in their order or in the seed's."""
    numbers = labels.argmax(1) if labels.ndim == 2 else labels
    pictures, count = torch.from_numpy(np.ascontiguousarray(images)), len(images)

    def epoch(number: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        order = np.arange(count)
        if seed is not None:
            order = np.random.default_rng((seed, number)).permutation(count)
        for batch in cut(order, batch_size)[skip:]:
            rows = torch.from_numpy(_share(batch, ranks))
            yield pictures[rows], rows

    return Source(count, -(-count // batch_size), numbers.astype(np.int64), epoch)


def _share(rows: np.ndarray, ranks: Ranks) -> np.ndarray:
    """This rank's part of a batch's rows: as many as any other's, or one less."""
    return rows[ranks.rank :: ranks.world]
