"""The loop. One pass over the training pictures, one over the held-out ones; figures come out.

Everything random in a pass (order, dropout) depends on the seed and the pass's number alone: a run that is
resumed after pass 3 takes pass 4 exactly as it would have been.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vgg16.data.sources import Source
from vgg16.errors import Interrupted, TrainingFailed
from vgg16.evaluate import Totals, evaluate, to_device
from vgg16.precision import Precision
from vgg16.ranks import ALONE, Ranks
from vgg16.report import Report


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
        self.optimizer = torch.optim.Adam(self.parameters, lr=lr, fused=precision.device.type == "cuda")
        self.scaler = precision.scaler()
        self.done = 0
        self._parts = 1  # a batch is worked off in so many parts, where memory does not hold it whole
        self._distributed = net  # for all ranks, from the first pass on
        self._rehearsed = ranks.world == 1
        self._compiler: Callable[[nn.Module], nn.Module] | None = None
        self._compiled: nn.Module | None = None
        self._usual = 0  # pictures of a whole part: what is compiled is of this one shape

    def compile(self, compiler: Callable[[nn.Module], nn.Module]) -> None:
        """From the next pass on, whole batches go through a compiled network (`speed` says when it pays)."""
        self._compiler = compiler

    def fit(self, train: Source, valid: Source | None, epochs: int) -> Iterator[Epoch]:
        """Up to the given number of passes, counted from the first ever. Raises TrainingFailed."""
        if self._distributed is self.net:
            self._distributed = self.ranks.distribute(self.net)
        if self._compiler is not None and self._compiled is None:
            self._compiled = self._compiler(self._distributed)
        while self.done < epochs:
            started = time.perf_counter()
            loss, accuracy = self._train_once(train, epochs)
            trained = time.perf_counter()
            held_out = (
                evaluate(self.net, valid, self.precision, self.report, self.ranks) if valid else (None, None)
            )
            if held_out[0] is not None:
                self._check(held_out[0])
            self.done += 1
            seconds = time.perf_counter() - started
            rate = train.count / (trained - started)
            yield Epoch(self.done, loss, accuracy, *held_out, seconds, rate, self.lr)

    def _train_once(self, source: Source, epochs: int) -> tuple[float, float]:
        """Mean loss and accuracy of the pass, dropout live, as the pictures came by."""
        self.net.train()
        torch.manual_seed(hash((self.seed, self.done)) + self.ranks.rank)
        labels = torch.from_numpy(source.labels).to(self.precision.device)
        total = Totals(self.precision.device)
        started = time.perf_counter()
        for step, (inputs, rows) in enumerate(source.epoch(self.done), start=1):
            inputs = to_device(inputs, self.precision.device)
            self._step(inputs, labels[rows.to(labels.device, non_blocking=True)], total)
            # Reading a figure makes the CPU wait for the GPU: twice a second, not at every step.
            if self.report.due(last=step == source.steps) and total.count:
                mean, accuracy = total.read()
                self._check(mean)
                rate = self.ranks.world * total.count / (time.perf_counter() - started)
                self.report.step(
                    "fit", epoch=self.done + 1, epochs=epochs, step=step, steps=source.steps,
                    loss=mean, accuracy=accuracy, images_per_s=rate,
                )  # fmt: skip
        figures = total.of_all(self.ranks)
        if figures is None:
            raise TrainingFailed("not one training picture can be read")
        self._check(figures[0])
        return figures

    def _step(self, inputs: Tensor, labels: Tensor, total: Totals) -> None:
        """One update, by the mean loss over the whole batch, however many pictures of it are here."""
        pictures = self.ranks.sum(torch.full((), len(labels), device=labels.device))
        # Ranks take the mean of their gradients, of which each has its share of the sum.
        scale = self.ranks.world / pictures.clamp_min(1)
        if not self._rehearsed:
            self._rehearse(inputs, labels, scale)
        while (logits := self._gradients(inputs, labels, scale)) is None:
            if self.ranks.world > 1:
                raise Interrupted(
                    f"out of memory on rank {self.ranks.rank} in the middle of epoch {self.done + 1}: "
                    "take a smaller --batch-size; --resume goes on from the last finished epoch"
                )
            self._halve(len(inputs))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        total.add(logits, labels)

    def _rehearse(self, inputs: Tensor, labels: Tensor, scale: Tensor) -> None:
        """Finds out how much memory holds, before ranks wait for each other in the middle of a gradient."""
        device = self.precision.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            short = True
            while short:
                here = self._gradients(inputs, labels, scale, alone=True) is None
                short = any(self.ranks.gather(here))
                if short:
                    self._halve(max(self.ranks.gather(len(inputs))))
        self._rehearsed = True

    def _gradients(
        self, inputs: Tensor, labels: Tensor, scale: Tensor, *, alone: bool = False
    ) -> Tensor | None:
        """Leaves gradients of the batch, part by part; its logits, or None where memory did not hold it."""
        self.optimizer.zero_grad(set_to_none=True)
        logits = []
        parts = list(zip(inputs.chunk(self._parts), labels.chunk(self._parts), strict=True))
        try:
            for number, (part, truth) in enumerate(parts, start=1):
                with self._local_gradients(alone or number < len(parts)):
                    with self.precision.autocast():
                        out = self._forward(part)
                    loss = F.cross_entropy(out.float(), truth, reduction="sum") * scale
                    self.scaler.scale(loss).backward()
                logits.append(out.detach())
        except torch.OutOfMemoryError:
            return None
        return torch.cat(logits)

    def _forward(self, part: Tensor) -> Tensor:
        self._usual = max(self._usual, len(part))
        if self._compiled is not None and len(part) == self._usual:
            return self._compiled(part)
        # Also the last batch of a pass, which is smaller: not worth compiling once more.
        return self._distributed(part)

    def _local_gradients(self, yes: bool) -> AbstractContextManager[None]:
        """Gradients stay here: the other parts of the batch are added before ranks exchange them."""
        net = self._distributed
        return net.no_sync() if yes and isinstance(net, DistributedDataParallel) else nullcontext()

    def _halve(self, pictures: int) -> None:
        """Out of memory: the same batch again in twice as many parts, whose gradients add up."""
        self.optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self._parts >= pictures:
            raise TrainingFailed(
                "out of memory with a single picture: take a smaller --image-size, or a larger box"
            )
        self._parts *= 2
        self._usual = 0
        at_once = -(-pictures // self._parts)
        self.report.say(f"out of memory: from here on {at_once} pictures at once, same batch size")

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingFailed(
                f"the loss is no number any more in epoch {self.done + 1}: try --lr below {self.lr:g}"
                + (f"; --resume goes on from epoch {self.done}" if self.done else "")
            )
