"""Cached features of the convolutions, made those of the first linear layer (`cache`)."""

from __future__ import annotations

import torch

from vgg16.cache import FeatureCache, missing_rows
from vgg16.train import Portions, Runner


@torch.inference_mode()
def convert(runner: Runner, convolved: FeatureCache, cache: FeatureCache, keys: dict[int, str]) -> None:
    """Fill cache with what convolved has of the keys that cache lacks. keys: by row number."""
    net, precision = runner.net.eval(), runner.precision
    convolved.read()
    known = {row: key for row, key in keys.items() if key in convolved}
    if not (plan := missing_rows(cache, known, precision.device)):
        return
    portions = Portions(runner.report.say)
    with cache.writer() as append, precision.cast_once(net):
        for rows in runner.ranks.until_ended(plan):
            names = [keys[row] for row in rows.tolist()]
            append(names, portions.forward(net.first_hidden, convolved.rows(names), precision))
    cache.read()
