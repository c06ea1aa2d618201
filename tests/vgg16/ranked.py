"""Runs a function as several gloo ranks, forked off a server that has PyTorch already."""

from __future__ import annotations

import multiprocessing
import os
import random
import socket
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["vgg16.run", "vgg16.curves", "torch._dynamo", "torch.distributed.launcher.api"]
)
_PATIENCE_S = 120


def as_ranks(world: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What function(*arguments) gave on each rank; it is found by its module's name, not sent."""
    port = _free_port()
    with ProcessPoolExecutor(world, mp_context=_CONTEXT) as pool:
        running = [
            pool.submit(
                _run, {"RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": port}, world, function, arguments
            )
            for rank in range(world)
        ]
        return [each.result(timeout=_PATIENCE_S) for each in running]


def _free_port() -> int:
    """Until rank 0 takes it, which is a while: not one of those that the kernel gives out (from 32768 on)."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port between 20000 and 32000")


def _run(own: dict[str, int], world: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    import torch

    torch.set_num_threads(1)
    os.environ |= {name: str(value) for name, value in own.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
    try:
        return function(*arguments)
    except BaseException:
        # The others wait for this rank: only its end ends them.
        traceback.print_exc()
        os._exit(1)
