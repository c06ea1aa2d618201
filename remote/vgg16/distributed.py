"""Several processes, one for each GPU, that share a training.

`torchrun --nproc-per-node K -m vgg16 train ...` starts them, on one machine or several, and numbers them in
the environment (RANK, WORLD_SIZE, LOCAL_RANK). Without it there is one, and nothing is sent anywhere.

A batch keeps its size: every rank takes its part, and gradients are those of the whole batch, so the figures
are one rank's within rounding. Only dropout differs, as with another seed: each rank draws for its own
pictures.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import cached_property
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from vgg16 import Problem, ending
from vgg16.device import Ranks, choose
from vgg16.elastic import Interrupted, restarts
from vgg16.ending import Ended
from vgg16.memory import double, shortage
from vgg16.train import Trainer

# A rank may wait for another one's download, or for its share of a data set's features. torchrun finds a dead
# rank at once; one that was lost on another machine, before all had started, after this time.
_PATIENCE = timedelta(minutes=30)
_ENVIRONMENT = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
T = TypeVar("T")


class Watched(Ranks):
    """One process that SIGTERM may end (`ending`). device: "cuda", "cpu" or None for the best."""

    def __init__(self, device: str | None = None) -> None:
        self.device = device

    def until_ended(self, steps: Iterable[T]) -> Iterator[T]:
        for step in steps:
            yield step
            if ending.ended():
                return

    @contextmanager
    def together(self) -> Iterator[None]:
        ending.begin()
        failed = None
        try:
            yield
        except OSError as error:
            failed = error
        ended, failures = zip(*self.gather((ending.ended(), failed)), strict=True)
        if any(ended):
            raise Ended
        if failed := next(filter(None, failures), None):
            raise failed

    def one_before_the_others(self) -> AbstractContextManager[None]:
        """The first rank on each machine enters first, the others when it is done."""
        return nullcontext()


class Group(Watched):
    """This process is number `rank` of `world`, number `local` on its machine, and computes on `device`."""

    def __init__(self, rank: int, world: int, local: int, device: str) -> None:
        super().__init__(device)
        self.rank, self.world, self.local, self.first = rank, world, local, rank == 0
        ending.begin()  # ranks end together

    def sum(self, tensor: Tensor) -> Tensor:
        dist.all_reduce(tensor)
        return tensor

    def gather(self, thing: T) -> list[T]:
        things: list[T | None] = [None] * self.world
        dist.all_gather_object(things, thing)
        return things  # type: ignore[return-value]

    def unite(self, found: dict[int, str]) -> None:
        for theirs in self.gather(found):
            found |= theirs

    def firsts(self, thing: T) -> T:
        things = [thing if self.first else None]
        dist.broadcast_object_list(things)
        return things[0]  # type: ignore[return-value]

    @contextmanager
    def one_before_the_others(self) -> Iterator[None]:
        if self.local > 0:
            dist.barrier()
        yield
        if self.local == 0:
            dist.barrier()

    def equalise(self, net: nn.Module) -> None:
        """Give net the first rank's parameters."""
        for parameter in net.parameters():
            dist.broadcast(parameter.detach(), src=0)


class GroupTrainer(Trainer):
    """A trainer whose gradients are the mean over ranks."""

    # What all ranks were asked, summed: before the last step and before the current one.
    _wishes: Tensor | None = None
    _wishes_now: Tensor | None = None
    _rehearsed = False

    @cached_property
    def _distributed(self) -> DistributedDataParallel:
        net = DistributedDataParallel(self.net, forward_sync_buffers=False, gradient_as_bucket_view=True)
        if dist.get_backend() == "nccl":
            net.register_comm_hook(None, bf16_compress_hook)  # half as much to send
        return net

    @cached_property
    def forward(self) -> nn.Module:
        return self._distributed

    def asked(self) -> int:
        """What all ranks were asked together, END or SAVE (`ending`), or 0.

        It is the sum before the last step: reading this step's would make the CPU wait for the GPU.
        """
        earlier, self._wishes = self._wishes, self._wishes_now
        return 0 if earlier is None else int(earlier.item())

    def _scale(self, labels: Tensor) -> Tensor:
        counts = [torch.full((), number, device=labels.device) for number in (len(labels), ending.asked())]
        pictures, self._wishes_now = self.ranks.sum(torch.stack(counts))
        # Ranks take the mean of their gradients, and each has its part of the sum.
        return self.ranks.world / pictures.clamp_min(1)

    def _gradients(self, inputs: Tensor, labels: Tensor, scale: Tensor | float, parts: int) -> Tensor:
        if not self._rehearsed:
            self._rehearse(inputs, labels, scale)
        try:
            return super()._gradients(inputs, labels, scale, self.portions.count)
        except RuntimeError as error:
            if reason := shortage(error):
                raise Interrupted(
                    f"{reason} on rank {self.ranks.rank} in the middle of epoch {self.done + 1}: "
                    "take a smaller --batch-size"
                    + ("; --resume goes on from the last finished epoch" if self.done else "")
                ) from None
            raise

    def _rehearse(self, inputs: Tensor, labels: Tensor, scale: Tensor | float) -> None:
        """Find out how many pictures fit into memory, before ranks wait for each other's gradients."""
        device = self.precision.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            while not self._rehearsed:
                reason = ""
                try:
                    super()._gradients(inputs, labels, scale, self.portions.count)
                except RuntimeError as error:
                    if not (reason := shortage(error)):
                        raise
                reasons = self.ranks.gather(reason)
                if reason := next(filter(None, reasons), ""):
                    self.optimizer.zero_grad(set_to_none=True)
                    double(self.portions, max(self.ranks.gather(len(labels))), reason)
                self._rehearsed = not reason

    def _backward(self, inputs: Tensor, labels: Tensor, scale: Tensor | float, *, last: bool) -> Tensor:
        # Ranks exchange gradients once a batch, with those of its last part.
        with nullcontext() if last and self._rehearsed else self._distributed.no_sync():
            return super()._backward(inputs, labels, scale, last=last)


@contextmanager
def joined(device: str | None) -> Iterator[Ranks]:
    """This process with the others that torchrun started. device: "cuda", "cpu" or None for the best.

    Raises Problem if there are more ranks on the machine than GPUs, or a GPU that PyTorch cannot use.
    """
    rank, world, local = (int(os.environ.get(n, d)) for n, d in _ENVIRONMENT.items())
    if world == 1:
        yield Watched(device)
        return
    kind = str(choose(device))
    backend = "gloo"
    if kind.startswith("cuda"):
        if local >= torch.cuda.device_count():
            raise Problem(
                f"rank {rank} finds no GPU: {torch.cuda.device_count()} on this machine, "
                "so no more --nproc-per-node than that"
            )
        backend, kind = "nccl", f"cuda:{local}"
        torch.cuda.set_device(local)
    store, _, _ = next(dist.rendezvous("env://", timeout=_PATIENCE))
    dist.init_process_group(
        backend,
        store=_fresh(store),
        rank=rank,
        world_size=world,
        timeout=_PATIENCE,
        device_id=torch.device(kind) if backend == "nccl" else None,
    )
    try:
        yield Group(rank, world, local, kind)
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise Interrupted(f"rank {rank} has lost another one in the middle of its work") from error
        raise
    # Not after an error: the others may never come, and this process ends anyway.
    dist.destroy_process_group()


def _fresh(store: dist.Store) -> dist.Store:
    """A part of torchrun's store without the addresses of ranks that died.

    PyTorch 2.13 starts anew with the old store (github.com/pytorch/pytorch/issues/135712). Across machines
    with --rdzv-backend c10d, which counts restarts on each apart, it needs
    TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1: every start has a store of its own then.
    """
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return dist.PrefixStore(f"attempt {restarts()}", store) if kept else store
