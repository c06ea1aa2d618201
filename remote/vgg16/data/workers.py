"""Worker processes that read pictures, decode them or leave that to the GPU, and make batches."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader


def loader(pictures: Any, plan: Sequence[np.ndarray], collate: Callable[[list[Any]], Any]) -> Iterator[Any]:
    """collate([pictures[row], ...]) for each batch of row numbers, ahead of the loop."""
    # In a container, fewer cores than the machine has. torchrun's processes on this machine share them.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 16)
    loader = DataLoader(
        pictures,
        batch_sampler=[rows.tolist() for rows in plan],
        collate_fn=collate,
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


def _in_own_group(worker: int) -> None:
    """Keep SIGTERM to the training's process group from its workers: if they died, it would fail."""
    os.setpgid(0, 0)
    if hasattr(signal, "sigtimedwait"):
        signal.sigtimedwait([signal.SIGTERM], 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
