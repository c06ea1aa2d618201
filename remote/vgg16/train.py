"""The loop: a pass over the training pictures, one over the held-out pictures, then figures.

The order of pictures depends on the seed and the pass alone, dropout on the step, too: on a CPU a run that is
resumed in the middle of a pass computes the same numbers as one that was never interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgg16 import TrainingFailed
from vgg16.device import ALONE, Precision, Ranks
from vgg16.pictures import Source


class Report:
    """How a run shows its progress: plain lines, as in a notebook."""

    def say(self, line: str) -> None:
        print(line, flush=True)

    def warn(self, line: str) -> None:
        """A line that every rank prints."""
        self.say(line)

    def due(self, *, last: bool = False) -> bool:
        """Whether to call step() now: not at every step, because reading a loss makes the GPU wait."""
        return False

    def step(self, phase: str, **figures: float | int | None) -> None:
        pass


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

    def describe(self, until: int) -> str:
        line = f"epoch {self.epoch}/{until}: loss {self.train_loss:.4f}, accuracy {self.train_accuracy:.1%}"
        if self.valid_loss is not None and self.valid_accuracy is not None:
            line += f"; held out: loss {self.valid_loss:.4f}, accuracy {self.valid_accuracy:.1%}"
        return line + f"; {self.seconds:.1f} s, {self.images_per_s:,.0f} images/s"


class Totals:
    """This rank's sums, kept on the device so that adding never waits. count: pictures."""

    def __init__(self, device: torch.device, loss: float = 0.0, right: int = 0, count: int = 0) -> None:
        self._loss = torch.tensor(loss, device=device, dtype=torch.float64)
        self._right = torch.tensor(right, device=device)
        self.count = count

    def add(self, logits: Tensor, labels: Tensor) -> None:
        self._loss += F.cross_entropy(logits.float(), labels, reduction="sum")
        self._right += (logits.argmax(1) == labels).sum()
        self.count += len(labels)

    def sums(self) -> tuple[float, int, int]:
        """Loss, right answers and pictures: the arguments that make the same Totals again."""
        return self._loss.item(), int(self._right.item()), self.count

    def means(self, ranks: Ranks = ALONE) -> tuple[float, float] | None:
        """Mean loss and accuracy over the ranks; None if there was no picture."""
        sums = torch.stack([self._loss, self._right.double(), torch.full_like(self._loss, self.count)])
        loss, right, count = ranks.sum(sums).tolist()
        return (loss / count, right / count) if count else None


class Portions:
    """Works on a batch in as many parts as memory takes; keeps the number of parts."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say, self.count = say, 1

    def __call__(self, work: Callable[[int], Tensor], pictures: int) -> Tensor:
        """work(parts), with more parts if memory runs out. Raises TrainingFailed for a single picture."""
        try:
            return work(self.count)
        except RuntimeError as error:
            from vgg16 import memory

            if not (reason := memory.shortage(error)):
                raise
        # The error is gone, and with it the memory that its frames held.
        memory.double(self, pictures, reason)
        return self(work, pictures)

    def forward(self, net: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """net(inputs), for rows that do not depend on each other."""
        return self(lambda parts: torch.cat([net(part) for part in inputs.chunk(parts)]), len(inputs))


def to_device(inputs: Tensor, device: torch.device) -> Tensor:
    """Pictures as bytes, channels last (for tensor cores); features as floats."""
    if inputs.dim() == 4:
        return inputs.to(device, non_blocking=True, memory_format=torch.channels_last)
    return inputs.to(device, non_blocking=True).float()


@torch.inference_mode()
def _answers(
    net: nn.Module, source: Source, precision: Precision, report: Report, ranks: Ranks, phase: str = ""
) -> Iterator[tuple[Tensor, Tensor]]:
    """Row numbers and logits of each batch, without dropout. phase: reported as this, if at all."""
    net.eval()
    forward = partial(net, start=source.start) if source.start else net
    portions, started, count = Portions(report.say), time.perf_counter(), 0
    with ranks.together(), precision.cast_once(net, source.start):
        for step, (inputs, rows) in enumerate(source.epoch(0), start=1):
            if len(rows):
                with precision.autocast():
                    logits = portions.forward(forward, to_device(inputs, precision.device))
                yield rows, logits.float()
                count += len(rows)
            if phase and report.due(last=step == source.steps):
                rate = ranks.world * count / (time.perf_counter() - started)
                report.step(phase, epoch=1, epochs=1, step=step, steps=source.steps, images_per_s=rate)
            if ranks.ended():
                break


@torch.inference_mode()
def evaluate(
    net: nn.Module, source: Source, precision: Precision, report: Report, ranks: Ranks = ALONE
) -> tuple[float, float]:
    """Mean loss and accuracy. Raises TrainingFailed if no picture can be read, Ended."""
    labels = torch.from_numpy(source.labels).to(precision.device)
    total = Totals(precision.device)
    for rows, logits in _answers(net, source, precision, report, ranks):
        total.add(logits, labels[rows.to(labels.device, non_blocking=True)])
    if (figures := total.means(ranks)) is None:
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
    """Probabilities (rows_in_all, classes); even ones for a picture that cannot be read. Raises Ended."""
    answers = _answers(net, source, precision, report, ranks, "predict")
    found = [(rows, logits.softmax(1)) for rows, logits in answers]
    # All at once at the end: every copy from the GPU waits for it.
    found = ranks.gather([(rows.numpy(), batch.cpu().numpy()) for rows, batch in found])
    found = [answer for each in found for answer in each]
    if not found:
        raise TrainingFailed("not one picture to predict can be read")
    classes = found[0][1].shape[1]
    probabilities = np.full((rows_in_all, classes), 1 / classes, dtype=np.float32)
    for rows, batch in found:
        probabilities[rows] = batch
    return probabilities


@dataclass(frozen=True)
class HalfPass:
    """The steps of a pass that are done, and this rank's sums over them."""

    step: int
    total: Totals


class Trainer:
    """Trains the parameters of net that require a gradient, with Adam. done: passes so far.

    half: where the next pass begins, if not at its start. reached: what is done of the current pass. pause:
    called between two steps with what all ranks are asked together, if that is not 0; it may raise.
    """

    def __init__(
        self,
        net: nn.Module,
        precision: Precision,
        report: Report,
        *,
        lr: float,
        seed: int,
        ranks: Ranks = ALONE,
    ) -> None:
        self.net, self.precision, self.report, self.seed, self.lr = net, precision, report, seed, lr
        self.ranks = ranks
        self.parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
        kind = precision.device.type
        self.optimizer = torch.optim.Adam(self.parameters, lr=lr, fused=kind == "cuda")
        # fp16 loses small gradients unless the loss is scaled up.
        self.scaler = torch.amp.GradScaler(kind, enabled=kind == "cuda" and precision.name == "fp16")
        self.portions = Portions(report.say)
        self.done = 0
        self.half: HalfPass | None = None
        self.reached: HalfPass | None = None
        self._start: dict[str, int] = {}
        self.pause: Callable[[int], None] = lambda asked: None

    @cached_property
    def forward(self) -> Callable[..., Tensor]:
        """What a step calls: net, or a compiled one that was put in its place (`device.speed`)."""
        return self.net

    def fit(self, train: Source, valid: Source | None, epochs: int) -> Iterator[Epoch]:
        """Up to the given number of passes, counted from the first ever. Raises TrainingFailed, Ended."""
        while self.done < epochs:
            started, before = time.perf_counter(), self.half.step if self.half else 0
            with self.precision.cast_once(self.net, train.start):
                loss, accuracy = self._train_once(train, epochs)
            trained = time.perf_counter()
            held_out: tuple[float, float] | tuple[None, None] = (None, None)
            if valid:
                held_out = evaluate(self.net, valid, self.precision, self.report, self.ranks)
                self._check(held_out[0])
            self.done, self.reached = self.done + 1, None
            rate = train.count * (1 - before / max(train.steps, 1)) / (trained - started)
            seconds = time.perf_counter() - started
            yield Epoch(self.done, loss, accuracy, *held_out, seconds, rate, self.lr)

    def _train_once(self, source: Source, epochs: int) -> tuple[float, float]:
        """Mean loss and accuracy of the pass, with dropout, before each step's update."""
        self.net.train()
        labels = torch.from_numpy(source.labels).to(self.precision.device)
        half, self.half = self.half or HalfPass(0, Totals(self.precision.device)), None
        total, before, started = half.total, half.total.count, time.perf_counter()
        self._start = {"start": source.start} if source.start else {}
        # torch.manual_seed seeds every kind of device, and is slow.
        gpu = self.precision.device.type == "cuda"
        seed = torch.cuda.manual_seed_all if gpu else torch.default_generator.manual_seed
        for step, (inputs, rows) in enumerate(source.epoch(self.done, half.step), start=half.step + 1):
            seed(hash((self.seed, self.done, step)) + self.ranks.rank)
            if len(rows) or self.ranks.world > 1:
                inputs = to_device(inputs, self.precision.device)
                self._step(inputs, labels[rows.to(labels.device, non_blocking=True)], total)
            self.reached = HalfPass(step, total)
            if self.report.due(last=step == source.steps) and (figures := total.means()):
                self._check(figures[0])
                rate = self.ranks.world * (total.count - before) / (time.perf_counter() - started)
                self.report.step(
                    "fit", epoch=self.done + 1, epochs=epochs, step=step, steps=source.steps,
                    loss=figures[0], accuracy=figures[1], images_per_s=rate,
                )  # fmt: skip
            if asked := self._asked():
                self.pause(asked)
        if (figures := total.means(self.ranks)) is None:
            raise TrainingFailed("not one training picture can be read")
        self._check(figures[0])
        return figures

    def _asked(self) -> int:
        """What all ranks are asked together."""
        return self.ranks.asked()

    def _step(self, inputs: Tensor, labels: Tensor, total: Totals) -> None:
        """One update, by the mean loss over the batch."""
        work = partial(self._gradients, inputs, labels, self._scale(labels))
        logits = self.portions(work, len(labels))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        total.add(logits, labels)

    def _scale(self, labels: Tensor) -> Tensor | float:
        """The factor from the sum of the losses to their mean."""
        return 1 / len(labels)

    def _gradients(self, inputs: Tensor, labels: Tensor, scale: Tensor | float, parts: int) -> Tensor:
        """Leave the gradients of the batch, summed over its parts. Returns its logits (n, classes)."""
        self.optimizer.zero_grad(set_to_none=True)
        chunks = list(zip(inputs.chunk(parts), labels.chunk(parts), strict=True))
        logits = [self._backward(*chunk, scale, last=False) for chunk in chunks[:-1]]
        return torch.cat([*logits, self._backward(*chunks[-1], scale, last=True)])

    def _backward(self, inputs: Tensor, labels: Tensor, scale: Tensor | float, *, last: bool) -> Tensor:
        """Add the gradients of a part. Returns its logits."""
        with self.precision.autocast():
            logits = self.forward(inputs, **self._start)
        loss = F.cross_entropy(logits.float(), labels, reduction="sum") * scale
        self.scaler.scale(loss).backward()
        return logits.detach()

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingFailed(
                f"the loss is not a number any more in epoch {self.done + 1}: try --lr below {self.lr:g}"
                + (f"; --resume goes on from epoch {self.done}" if self.done else "")
            )
