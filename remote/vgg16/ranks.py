"""Several processes, one a GPU, at one training: who I am, what my share is, what we know together.

`torchrun --nproc-per-node K -m vgg16 train ...` starts them, here or on several machines, and says in the
environment who is who (RANK, WORLD_SIZE, LOCAL_RANK). Without it there is one, and nothing is sent anywhere.

A batch is a batch: its size is the whole one's, every rank takes its share, and gradients are those of the
whole, so the figures are one rank's within rounding. Only what dropout drops differs, as with another seed:
each rank draws for its own pictures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from vgg16.elastic import restarts
from vgg16.errors import Interrupted, Problem

# A rank may wait for another one's download, or for its share of a data set's features. One that died is
# found by torchrun at once; one that was lost on another machine, before all were there, after this time.
_PATIENCE = timedelta(minutes=30)

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process is number `rank` of `world`, number `local` on its machine. device: None, as you like."""

    rank: int = 0
    world: int = 1
    local: int = 0
    device: str | None = None

    @property
    def first(self) -> bool:
        """It alone prints and writes."""
        return self.rank == 0

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This rank's of some rows: as many as any other's, or one less."""
        return rows[self.rank :: self.world]

    def owned(self, rows: np.ndarray) -> np.ndarray:
        """Those of these row numbers that are always this rank's, in whatever order or company they come."""
        return rows[rows % self.world == self.rank]

    def sum(self, tensor: Tensor) -> Tensor:
        """Over all ranks, in place; tensor is where this rank computes."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, thing: T) -> list[T]:
        """Everybody's, in order of rank."""
        if self.world == 1:
            return [thing]
        things: list[T | None] = [None] * self.world
        dist.all_gather_object(things, thing)
        return things  # type: ignore[return-value]

    def firsts(self, thing: T) -> T:
        """The first rank's, for all."""
        if self.world == 1:
            return thing
        things = [thing if self.first else None]
        dist.broadcast_object_list(things)
        return things[0]  # type: ignore[return-value]

    @contextmanager
    def one_before_the_others(self) -> Iterator[None]:
        """The first on each machine does it; then the others, who find it done."""
        if self.world > 1 and self.local > 0:
            dist.barrier()
        yield
        if self.world > 1 and self.local == 0:
            dist.barrier()

    def equalise(self, net: nn.Module) -> None:
        """Gives net the first rank's parameters."""
        if self.world > 1:
            for parameter in net.parameters():
                dist.broadcast(parameter.detach(), src=0)

    def distribute(self, net: nn.Module) -> nn.Module:
        """As net, with gradients that are the mean over ranks: sent in bf16 from GPU to GPU, half as much."""
        if self.world == 1:
            return net
        copy = DistributedDataParallel(net, forward_sync_buffers=False, gradient_as_bucket_view=True)
        if dist.get_backend() == "nccl":
            copy.register_comm_hook(None, bf16_compress_hook)
        return copy


ALONE = Ranks()


@contextmanager
def joined(device: str | None) -> Iterator[Ranks]:
    """With the others that torchrun started; ALONE without it. device: "cuda", "cpu" or None for the best.

    Raises Problem where there are more ranks on the machine than GPUs.
    """
    rank, world, local = (int(os.environ.get(n, d)) for n, d in _ENVIRONMENT.items())
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if world == 1:
        yield Ranks(device=device)
        return
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
        yield Ranks(rank, world, local, kind)
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise Interrupted(f"rank {rank} has lost another one in the middle of its work") from error
        raise
    # Not where something was raised: the others may never come, and this process ends anyway.
    dist.destroy_process_group()


_ENVIRONMENT = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}


def _fresh(store: dist.Store) -> dist.Store:
    """A part of torchrun's store in which the addresses of those that died are not found again.

    PyTorch 2.13 starts anew with the old store (github.com/pytorch/pytorch/issues/135712). Across machines
    with --rdzv-backend c10d, which counts restarts on each apart, it needs
    TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1: every start has a store of its own then.
    """
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return dist.PrefixStore(f"attempt {restarts()}", store) if kept else store
