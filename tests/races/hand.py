"""One of two processes that each run one command on a box, with their AWS calls held at a gate.

It does what `box.up` does up to and including the machine's own host key; setting the machine up, which is
the same for any number of hands, is left out for its time.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from unittest import mock

from gpu_box.box import enter
from gpu_box.config.model import Config
from gpu_box.errors import GpuBoxError
from gpu_box.model.observed import Observed

from ..aws.conftest import Laptop
from ..faults import commands
from ..faults.apart import CONTEXT, impatient, process
from .gate import Turnstile

DOES: dict[str, Callable[[Laptop], Observed]] = {
    "up": commands.up_into_the_machine,
    "down": Laptop.down,
    "stop": Laptop.stop,
    "resize": commands.resize,
}


def start(config: Config, what: str, turnstile: Turnstile) -> tuple[BaseProcess, Connection]:
    """The process and a connection that receives its result: "done", "refused LINE" or "broken TRACEBACK"."""
    reported, tell = CONTEXT.Pipe(duplex=False)
    hand = process(_run, config, what, turnstile, tell)
    hand.start()
    return hand, reported


def _run(config: Config, what: str, turnstile: Turnstile, tell: Connection) -> None:
    tell.send(_result(config, what, turnstile))


def _result(config: Config, what: str, turnstile: Turnstile) -> str:
    with impatient(), mock.patch.object(enter, "_CHECK_AGAIN_S", 1.0):
        laptop = Laptop(config)
        turnstile.stand_before(laptop.cloud)
        try:
            DOES[what](laptop)
        except GpuBoxError as error:
            return f"refused {error}"
        except Exception:
            return f"broken {traceback.format_exc()}"
    return "done"
