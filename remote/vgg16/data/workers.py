"""Worker processes that read batches of pictures, and decode them or leave that to the GPU."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader

T = TypeVar("T")


def loader(pictures: Any, plan: Sequence[np.ndarray]) -> Iterator[Any]:
    """pictures[rows] for each batch of row numbers, ahead of the loop."""
    # In a container, fewer cores than the machine has. torchrun's processes on this machine share them.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 16)
    loader = DataLoader(
        pictures,
        batch_size=None,  # an item is a batch
        sampler=plan,
        collate_fn=_as_it_is,
        num_workers=workers,
        worker_init_fn=_in_own_group,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
        # A generator of its own: the common one would change the dropout after it.
        generator=torch.Generator().manual_seed(0),
    )
    # Workers start with SIGTERM blocked, because it may come before _in_own_group runs.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _as_it_is(batch: T) -> T:
    return batch


def _in_own_group(worker: int) -> None:
    """Keep SIGTERM to the training's process group from its workers: if they died, it would fail."""
    os.setpgid(0, 0)
    if hasattr(signal, "sigtimedwait"):
        signal.sigtimedwait([signal.SIGTERM], 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
