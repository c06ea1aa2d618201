"""The loop: a pass over the training pictures, one over the held-out pictures, then figures.

The order of pictures depends on the seed and the pass alone, dropout on the step, too: on a CPU a run that is
resumed in the middle of a pass computes the same numbers as one that was never interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgg16 import TrainingFailed
from vgg16.device import ALONE, Precision, Ranks
from vgg16.pictures import Source

Batch = tuple[Tensor, Tensor]  # inputs and row numbers (n,)


class Report:
    """How a run shows its progress: plain lines, as in a notebook."""

    def say(self, line: str) -> None:
        print(line, flush=True)

    def warn(self, line: str) -> None:
        """A line that every rank prints."""
        self.say(line)

    def watch(self, phase: str, batches: Iterable[Batch], **about: Any) -> Iterable[Batch]:
        """The same batches; others than this one show how far they are (`report.ProgressReport.watch`)."""
        return batches


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
    """This rank's sums: losses, right answers, pictures. On the device, so that adding never waits."""

    def __init__(self, device: torch.device, sums: Iterable[float] = (0, 0, 0)) -> None:
        self.sums = torch.tensor(sums, device=device, dtype=torch.float64)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        self.sums[0] += F.cross_entropy(logits.float(), labels, reduction="sum")
        self.sums[1] += (logits.argmax(1) == labels).sum()
        self.sums[2] += len(labels)

    def means(self, what: str, ranks: Ranks = ALONE) -> tuple[float, float]:
        """Mean loss and accuracy over the ranks. Raises TrainingFailed if there was no picture."""
        loss, right, count = ranks.sum(self.sums.clone()).tolist()
        if not count:
            raise TrainingFailed(f"not one {what} picture can be read")
        return loss / count, right / count


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

    def forward(self, net: Callable[[Tensor], Tensor], inputs: Tensor, precision: Precision) -> Tensor:
        """net(inputs) on the device, for rows that do not depend on each other."""
        inputs = to_device(inputs, precision.device)
        with precision.autocast():
            return self(lambda parts: torch.cat([net(part) for part in inputs.chunk(parts)]), len(inputs))


def to_device(inputs: Tensor, device: torch.device) -> Tensor:
    """Pictures as bytes, channels last (for tensor cores); features as floats."""
    if inputs.dim() == 4:
        return inputs.to(device, non_blocking=True, memory_format=torch.channels_last)
    return inputs.to(device, non_blocking=True).float()


@dataclass(eq=False)
class Runner:
    """A network where it computes. report: shows how far it is; ranks: the processes that share the work."""

    net: nn.Module
    precision: Precision
    report: Report
    ranks: Ranks = ALONE

    @torch.inference_mode()
    def answers(self, source: Source, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Row numbers and logits of each of these batches of source, without dropout. Raises Ended."""
        self.net.eval()
        forward = partial(self.net, start=source.start) if source.start else self.net
        portions = Portions(self.report.say)
        with self.ranks.together(), self.precision.cast_once(self.net, source.start):
            for inputs, rows in self.ranks.until_ended(batches):
                if len(rows):
                    yield rows, portions.forward(forward, inputs, self.precision).float()
        self.ranks.unite(source.unreadable)

    @torch.inference_mode()
    def evaluate(self, source: Source) -> tuple[float, float]:
        """Mean loss and accuracy. Raises TrainingFailed if no picture can be read, Ended."""
        labels = torch.from_numpy(source.labels).to(self.precision.device)
        total = Totals(self.precision.device)
        for rows, logits in self.answers(source, source.epoch(0)):
            total.add(logits, labels[rows.to(labels.device, non_blocking=True)])
        return total.means("held-out", self.ranks)


@dataclass(eq=False)
class Trainer(Runner):
    """Trains the parameters of net that require a gradient, with Adam. done: passes so far.

    steps: what is done of the current pass; total: this rank's sums over it. resumed: the step of a
    checkpoint, after which the next pass goes on. pause: called between two steps; it may raise.
    """

    _: KW_ONLY
    lr: float
    seed: int

    def __post_init__(self) -> None:
        self.parameters = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        kind = self.precision.device.type
        self.optimizer = torch.optim.Adam(self.parameters, lr=self.lr, fused=kind == "cuda")
        # fp16 loses small gradients unless the loss is scaled up.
        self.scaler = torch.amp.GradScaler(kind, enabled=kind == "cuda" and self.precision.name == "fp16")
        self.portions = Portions(self.report.say)
        self.done = self.steps = self.resumed = 0
        self.total = Totals(self.precision.device)
        self._start: dict[str, int] = {}
        self.pause: Callable[[], None] = lambda: None

    @cached_property
    def forward(self) -> Callable[..., Tensor]:
        """What a step calls: net, or a compiled one that was put in its place (`device.speed`)."""
        return self.net

    def fit(self, train: Source, valid: Source | None, epochs: int) -> Iterator[Epoch]:
        """Up to the given number of passes, counted from the first ever. Raises TrainingFailed, Ended."""
        while self.done < epochs:
            started, before = time.perf_counter(), self.resumed
            with self.precision.cast_once(self.net, train.start):
                loss, accuracy = self._train_once(train, epochs)
            trained = time.perf_counter()
            held_out = self.evaluate(valid) if valid else (None, None)
            self._check(held_out[0] or 0.0)
            self.done, self.steps = self.done + 1, 0
            rate = train.count * (1 - before / max(train.steps, 1)) / (trained - started)
            seconds = time.perf_counter() - started
            yield Epoch(self.done, loss, accuracy, *held_out, seconds, rate, self.lr)

    def _train_once(self, source: Source, epochs: int) -> tuple[float, float]:
        """Mean loss and accuracy of the pass, with dropout, before each step's update."""
        self.net.train()
        labels = torch.from_numpy(source.labels).to(self.precision.device)
        self.steps, self.resumed = self.resumed, 0
        if not self.steps:
            self.total = Totals(self.precision.device)
        self._start = {"start": source.start} if source.start else {}
        # torch.manual_seed seeds every kind of device, and is slow.
        gpu = self.precision.device.type == "cuda"
        seed = torch.cuda.manual_seed_all if gpu else torch.default_generator.manual_seed
        batches = self.report.watch(
            "fit", source.epoch(self.done, self.steps), steps=source.steps, world=self.ranks.world,
            epoch=self.done + 1, epochs=epochs, done=self.steps, figures=self._figures,
        )  # fmt: skip
        for step, (inputs, rows) in enumerate(batches, start=self.steps + 1):
            seed(hash((self.seed, self.done, step)) + self.ranks.rank)
            if len(rows) or self.ranks.world > 1:
                inputs = to_device(inputs, self.precision.device)
                self._step(inputs, labels[rows.to(labels.device, non_blocking=True)])
            self.steps = step
            self.pause()
        self.ranks.unite(source.unreadable)
        return self._figures(self.ranks)

    def _figures(self, ranks: Ranks = ALONE) -> tuple[float, float]:
        """Mean loss and accuracy of the pass so far. Raises TrainingFailed."""
        loss, accuracy = self.total.means("training", ranks)
        self._check(loss)
        return loss, accuracy

    def _step(self, inputs: Tensor, labels: Tensor) -> None:
        """One update, by the mean loss over the batch."""
        work = partial(self._gradients, inputs, labels, self._scale(labels))
        logits = self.portions(work, len(labels))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.total.add(logits, labels)

    def _scale(self, labels: Tensor) -> Tensor | float:
        """The factor from the sum of the losses to their mean."""
        return 1 / len(labels)

    def _gradients(self, inputs: Tensor, labels: Tensor, scale: Tensor | float, parts: int) -> Tensor:
        """Leave the gradients of the batch, summed over its parts. Returns its logits (n, classes)."""
        self.optimizer.zero_grad(set_to_none=True)
        chunks = list(zip(inputs.chunk(parts), labels.chunk(parts), strict=True))
        return torch.cat([self._backward(*chunk, scale, last=chunk is chunks[-1]) for chunk in chunks])

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
