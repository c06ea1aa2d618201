"""What the machine says of itself, asked by `status` without waiting for AWS where this laptop can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gpu_box.machine import setup
from gpu_box.machine.setup import Desired
from gpu_box.machine.ssh import ssh_config
from gpu_box.machine.ssh.connection import connect
from gpu_box.machine.ssh.early_check import Ahead
from gpu_box.model.machine import Host, MachineState

EARLY = True  # False: nothing is asked before AWS has said where the machine is


@contextmanager
def asking(name: str, desired: Desired) -> Iterator[Callable[[Host, Desired], MachineState]]:
    """For a `with` block around the question where the box is: it gives the function that asks the machine.

    That raises MachineError where the machine does not answer, as `setup.check`.
    """
    if not EARLY:
        yield _ask
        return
    with Ahead(name, desired) as ahead:
        yield lambda host, wanted: ahead.answer(host, wanted) or _ask(host, wanted)


def _ask(host: Host, desired: Desired) -> MachineState:
    with connect(host) as connection:
        with suppress(OSError):
            ssh_config.private_config(host)  # by which the next one is asked early
        return setup.check(connection, desired)
