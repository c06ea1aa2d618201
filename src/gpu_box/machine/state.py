"""The machine's state for `status`, requested before AWS has answered if possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.machine import setup
from gpu_box.machine.setup import Desired
from gpu_box.machine.ssh import ssh_config
from gpu_box.machine.ssh.connection import connect
from gpu_box.machine.ssh.early_check import EarlyCheck
from gpu_box.model.machine import Host, MachineState

EARLY = True  # False: wait for AWS's answer before asking the machine
_ahead: dict[str, EarlyCheck] = {}  # by the box's name


@contextmanager
def asked_ahead(config: Config) -> Iterator[None]:
    """Begin what `asking` waits for within the block, before AWS's SDK is imported: a third of a second."""
    if not EARLY:
        yield
        return
    name = config.name
    with EarlyCheck(name, setup.desired(config, market=config.first_market)) as early:
        _ahead[name] = early
        try:
            yield
        finally:
            _ahead.pop(name, None)


@contextmanager
def asking(name: str, desired: Desired) -> Iterator[Callable[[Host, Desired], MachineState]]:
    """Yields the function that reads the machine's state, for a `with` block that locates the box.

    The function raises MachineError as `setup.check` does.
    """
    if not EARLY:
        yield _ask
        return
    with _ahead.pop(name, None) or EarlyCheck(name, desired) as early:
        yield lambda host, wanted: early.answer(host, wanted) or _ask(host, wanted)


def _ask(host: Host, desired: Desired) -> MachineState:
    with connect(host) as connection:
        with suppress(OSError, InputError):
            ssh_config.private_config(host)  # for the next early check
        return setup.check(connection, desired)
