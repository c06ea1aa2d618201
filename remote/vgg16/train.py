"""The loop. One pass over the training pictures, one over the held-out ones; figures come out.

Everything random in a pass (order, dropout) depends on the seed and the pass's number alone: a run that is
resumed after pass 3 takes pass 4 exactly as it would have been.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgg16.errors import TrainingFailed
from vgg16.precision import Precision
from vgg16.report import Report
from vgg16.sources import Source


@dataclass(frozen=True)
class Epoch:
    """Figures of one pass. Losses in nats a picture; images_per_s of training alone."""

    epoch: int
    train_loss: float
    train_accuracy: float
    valid_loss: float | None
    valid_accuracy: float | None
    seconds: float
    images_per_s: float
    lr: float


class Trainer:
    """Trains those parameters of net that ask for a gradient, with Adam. done: passes so far."""

    def __init__(self, net: nn.Module, precision: Precision, report: Report, *, lr: float, seed: int) -> None:
        self.net, self.precision, self.report, self.seed, self.lr = net, precision, report, seed, lr
        self.parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=lr, fused=precision.device.type == "cuda")
        self.scaler = precision.scaler()
        self.done = 0
        self._parts = 1  # a batch is worked off in so many parts, where memory does not hold it whole

    def fit(self, train: Source, valid: Source | None, epochs: int) -> Iterator[Epoch]:
        """Up to the given number of passes, counted from the first ever. Raises TrainingFailed."""
        while self.done < epochs:
            started = time.perf_counter()
            loss, accuracy = self._train_once(train, epochs)
            trained = time.perf_counter()
            held_out = evaluate(self.net, valid, self.precision) if valid else (None, None)
            self.done += 1
            seconds = time.perf_counter() - started
            rate = train.count / (trained - started)
            yield Epoch(self.done, loss, accuracy, *held_out, seconds, rate, self.lr)

    def _train_once(self, source: Source, epochs: int) -> tuple[float, float]:
        """Mean loss and accuracy of the pass, dropout live, as the pictures came by."""
        self.net.train()
        torch.manual_seed(hash((self.seed, self.done)))
        labels = torch.from_numpy(source.labels).to(self.precision.device)
        total = _Totals(self.precision.device)
        started = time.perf_counter()
        for step, (inputs, rows) in enumerate(source.epoch(self.done), start=1):
            inputs = to_device(inputs, self.precision.device)
            self._step(source.forward, inputs, labels[rows.to(labels.device, non_blocking=True)], total)
            # Reading a figure makes the CPU wait for the GPU: twice a second, not at every step.
            if self.report.due(last=step == source.steps):
                mean, accuracy = total.read()
                self._check(mean)
                rate = total.count / (time.perf_counter() - started)
                self.report.step(
                    "fit", epoch=self.done + 1, epochs=epochs, step=step, steps=source.steps,
                    loss=mean, accuracy=accuracy, images_per_s=rate,
                )  # fmt: skip
        if not total.count:
            raise TrainingFailed("not one training picture can be read")
        mean, accuracy = total.read()
        self._check(mean)
        return mean, accuracy

    def _step(
        self, forward: Callable[[Tensor], Tensor], inputs: Tensor, labels: Tensor, total: _Totals
    ) -> None:
        """One update. Out of memory: the same batch again in twice as many parts, whose gradients add up."""
        while True:
            try:
                self.optimizer.zero_grad(set_to_none=True)
                logits = []
                for part, truth in zip(inputs.chunk(self._parts), labels.chunk(self._parts), strict=True):
                    with self.precision.autocast():
                        out = forward(part)
                    loss = F.cross_entropy(out.float(), truth, reduction="sum") / len(labels)
                    self.scaler.scale(loss).backward()
                    logits.append(out.detach())
                break
            except torch.OutOfMemoryError:
                if self._parts >= len(inputs):
                    raise TrainingFailed(
                        "out of memory with a single picture: take a smaller --image-size, or a larger box"
                    ) from None
                self._parts *= 2
                at_once = -(-len(inputs) // self._parts)
                self.report.say(f"out of memory: from here on {at_once} pictures at once, same batch size")
                self.optimizer.zero_grad(set_to_none=True)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        total.add(torch.cat(logits), labels)

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingFailed(
                f"the loss is no number any more in epoch {self.done + 1}: try --lr below {self.lr:g}"
                + (f"; --resume goes on from epoch {self.done}" if self.done else "")
            )


class _Totals:
    """Sums kept on the device, so that adding to them waits for nothing."""

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), device=device, dtype=torch.float64)
        self._right = torch.zeros((), device=device, dtype=torch.int64)
        self.count = 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        self._loss += F.cross_entropy(logits.float(), labels, reduction="sum")
        self._right += (logits.argmax(1) == labels).sum()
        self.count += len(labels)

    def read(self) -> tuple[float, float]:
        return self._loss.item() / self.count, self._right.item() / self.count


@torch.inference_mode()
def evaluate(net: nn.Module, source: Source, precision: Precision) -> tuple[float, float]:
    """Mean loss and accuracy, without dropout."""
    net.eval()
    labels = torch.from_numpy(source.labels).to(precision.device)
    total = _Totals(precision.device)
    for inputs, rows in source.epoch(0):
        with precision.autocast():
            logits = source.forward(to_device(inputs, precision.device))
        total.add(logits, labels[rows.to(labels.device)])
    if not total.count:
        raise TrainingFailed("not one held-out picture can be read")
    return total.read()


@torch.inference_mode()
def predict(
    net: nn.Module, source: Source, rows_in_all: int, precision: Precision, report: Report
) -> np.ndarray:
    """Probabilities (rows_in_all, classes); a row whose picture cannot be read is left at even odds."""
    net.eval()
    probabilities: np.ndarray | None = None
    started, count = time.perf_counter(), 0
    for step, (inputs, rows) in enumerate(source.epoch(0), start=1):
        with precision.autocast():
            logits = source.forward(to_device(inputs, precision.device))
        batch = logits.float().softmax(1).cpu().numpy()
        if probabilities is None:
            probabilities = np.full((rows_in_all, batch.shape[1]), 1 / batch.shape[1], dtype=np.float32)
        probabilities[rows.numpy()] = batch
        count += len(rows)
        if report.due(last=step == source.steps):
            rate = count / (time.perf_counter() - started)
            report.step("predict", epoch=1, epochs=1, step=step, steps=source.steps, images_per_s=rate)
    if probabilities is None:
        raise TrainingFailed("not one picture to predict can be read")
    return probabilities


def to_device(inputs: Tensor, device: torch.device) -> Tensor:
    """Pictures as bytes, channels last (what tensor cores like); features from halves to floats."""
    if inputs.dim() == 4:
        return inputs.to(device, non_blocking=True, memory_format=torch.channels_last)
    return inputs.to(device, non_blocking=True).float()
