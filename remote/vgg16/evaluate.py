"""A network's answers for a whole folder of pictures; `python -m vgg16 evaluate`: how many are right."""

from __future__ import annotations

import re

import numpy as np
import torch

from vgg16 import BadData, TrainingFailed
from vgg16.pictures import Batches, Source
from vgg16.train import Runner


@torch.inference_mode()
def predict(runner: Runner, source: Source, rows_in_all: int) -> np.ndarray:
    """Probabilities (rows_in_all, classes); even ones for a picture that cannot be read.

    Raises TrainingFailed if none can be read, Ended.
    """
    ranks = runner.ranks
    batches = runner.report.watch("predict", source.epoch(0), steps=source.steps, world=ranks.world)
    answers = [(rows, logits.softmax(1)) for rows, logits in runner.answers(source, batches)]
    # All at once at the end: every copy from the GPU waits for it.
    gathered = ranks.gather([(rows.numpy(), batch.cpu().numpy()) for rows, batch in answers])
    found = [answer for each in gathered for answer in each]
    if not found:
        raise TrainingFailed("not one picture to predict can be read")
    classes = found[0][1].shape[1]
    probabilities = np.full((rows_in_all, classes), 1 / classes, dtype=np.float32)
    for rows, batch in found:
        probabilities[rows] = batch
    return probabilities


def readable(batches: Batches) -> np.ndarray:
    """(nb_sample,) booleans: False for pictures that could not be read so far."""
    return ~np.isin(np.arange(batches.nb_sample), list(batches.unreadable))


def top_k(probabilities: np.ndarray, truth: list[set[int]], k: int) -> float:
    """The share of rows (n, classes) of which one of the k most probable classes is in their truth."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean([bool(set(row) & right) for row, right in zip(best.tolist(), truth, strict=True)]))


def outputs_of(folders: tuple[str, ...], classes: list[str]) -> list[set[int]]:
    """For each folder of pictures the network's outputs that mean its class. Raises BadData.

    Two of ImageNet's classes may have one name. ImageNet's own folders have WordNet ids ("n01440764"), in
    the order of the outputs if all 1,000 are there.
    """
    if len(folders) == len(classes) and all(re.fullmatch(r"n\d{8}", name) for name in folders):
        return [{number} for number in range(len(folders))]
    numbers: dict[str, set[int]] = {}
    for number, name in enumerate(classes):
        numbers.setdefault(name, set()).add(number)
    if unknown := [name for name in folders if name not in numbers]:
        known = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
        raise BadData(f"no class of the network is named {unknown[0]!r}; it knows {known}")
    return [numbers[name] for name in folders]
