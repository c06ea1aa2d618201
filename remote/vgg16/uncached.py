"""Training without the feature cache (`cache`): pictures that vary, trained convolutions, a full disk."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from vgg16.device import Ranks
from vgg16.ending import begin
from vgg16.pictures import Batches, Source


def from_pictures(batches: Batches, ranks: Ranks) -> Source:
    """The whole network on every picture in every pass."""

    def epoch(number: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        plan = [ranks.share(rows) for rows in batches.plan(number)[skip:]]
        for batch in batches.load(plan, number, every_step=True):
            begin()
            yield batch

    return Source(batches.nb_sample, len(batches), batches.classes, epoch)
