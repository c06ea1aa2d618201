"""What the network answers, without dropout: loss and accuracy over held-out pictures, or probabilities."""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgg16.data.sources import Source
from vgg16.errors import TrainingFailed
from vgg16.memory import Portions
from vgg16.precision import Precision
from vgg16.ranks import ALONE, Ranks
from vgg16.report import Report


class Totals:
    """Sums kept on the device, so that adding to them waits for nothing. count: pictures of this rank."""

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), device=device, dtype=torch.float64)
        self._right = torch.zeros((), device=device, dtype=torch.int64)
        self.count = 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        self._loss += F.cross_entropy(logits.float(), labels, reduction="sum")
        self._right += (logits.argmax(1) == labels).sum()
        self.count += len(labels)

    def read(self) -> tuple[float, float]:
        """Mean loss and accuracy of this rank's; its count is not zero."""
        return self._loss.item() / self.count, self._right.item() / self.count

    def of_all(self, ranks: Ranks) -> tuple[float, float] | None:
        """Mean loss and accuracy over all ranks; None where there was not one picture."""
        sums = torch.stack([self._loss, self._right.double(), torch.full_like(self._loss, self.count)])
        loss, right, count = ranks.sum(sums).tolist()
        return (loss / count, right / count) if count else None


@torch.inference_mode()
def evaluate(
    net: nn.Module, source: Source, precision: Precision, report: Report, ranks: Ranks = ALONE
) -> tuple[float, float]:
    """Mean loss and accuracy."""
    net.eval()
    labels = torch.from_numpy(source.labels).to(precision.device)
    total, portions = Totals(precision.device), Portions(report.say)
    for inputs, rows in source.epoch(0):
        if len(rows):
            with precision.autocast():
                logits = portions(net, to_device(inputs, precision.device))
            total.add(logits, labels[rows.to(labels.device, non_blocking=True)])
    figures = total.of_all(ranks)
    if figures is None:
        raise TrainingFailed("not one held-out picture can be read")
    return figures


@torch.inference_mode()
def predict(
    net: nn.Module,
    source: Source,
    rows_in_all: int,
    precision: Precision,
    report: Report,
    ranks: Ranks = ALONE,
) -> np.ndarray:
    """Probabilities (rows_in_all, classes); a row whose picture cannot be read is left at even odds."""
    net.eval()
    answers: list[tuple[Tensor, Tensor]] = []
    portions = Portions(report.say)
    started, count = time.perf_counter(), 0
    for step, (inputs, rows) in enumerate(source.epoch(0), start=1):
        if len(rows):
            with precision.autocast():
                logits = portions(net, to_device(inputs, precision.device))
            answers.append((rows, logits.float().softmax(1)))
            count += len(rows)
        if report.due(last=step == source.steps):
            rate = ranks.world * count / (time.perf_counter() - started)
            report.step("predict", epoch=1, epochs=1, step=step, steps=source.steps, images_per_s=rate)
    # Only now, and at once: every copy from the GPU waits for it.
    found = [(rows.numpy(), batch.cpu().numpy()) for rows, batch in answers]
    found = [answer for others in ranks.gather(found) for answer in others]
    if not found:
        raise TrainingFailed("not one picture to predict can be read")
    classes = found[0][1].shape[1]
    probabilities = np.full((rows_in_all, classes), 1 / classes, dtype=np.float32)
    for numbers, batch in found:
        probabilities[numbers] = batch
    return probabilities


def to_device(inputs: Tensor, device: torch.device) -> Tensor:
    """Pictures as bytes, channels last (what tensor cores like); features from halves to floats."""
    if inputs.dim() == 4:
        return inputs.to(device, non_blocking=True, memory_format=torch.channels_last)
    return inputs.to(device, non_blocking=True).float()
