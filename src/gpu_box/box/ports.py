"""Ports of the box on this laptop: those of the config and the command line, and each new server's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from gpu_box.aws.client import Cloud
from gpu_box.box.find import find_host, host_or_state
from gpu_box.config import values
from gpu_box.config.model import Config
from gpu_box.errors import InputError, MachineUnreachable
from gpu_box.machine import listeners
from gpu_box.machine.listeners import Listener
from gpu_box.machine.ssh.tunnel import Tunnel
from gpu_box.model.machine import Forward
from gpu_box.model.progress import Reporter
from gpu_box.model.results import Forwarded

_MOST = 100  # forwards of one `tunnel`: the box may list any number of servers
_LOOK_S = 1.0  # between two attempts to list the servers, while the link is broken


def parse(typed: Sequence[str]) -> tuple[Forward, ...]:
    """Raises InputError."""
    found: dict[int, Forward] = {}
    for text in typed:
        try:
            forward = values.forward(text)
        except ValueError as error:
            raise InputError(str(error), where="tunnel") from None
        if found.setdefault(forward.local, forward) != forward:
            raise InputError(f"port {forward.local} of this laptop is there twice", where="tunnel")
    return tuple(found.values())


def with_config(typed: Sequence[Forward], config: Config) -> tuple[Forward, ...]:
    """What was typed, then the config's `ports` that it does not name."""
    named = {port.remote for port in typed}
    return (*typed, *(port for port in config.ports if port.remote not in named))


@contextmanager
def tunnel(cloud: Cloud, forwards: Sequence[Forward], report: Reporter) -> Iterator[Tunnel]:
    with Tunnel(find_host(cloud), forwards, report=report, find=partial(host_or_state, cloud)) as link:
        yield link


OnChange = Callable[[tuple[Forwarded, ...], tuple[int, ...], tuple[str, ...]], None]


def follow_servers(link: Tunnel, on_change: OnChange) -> None:
    """Forward each new server of the user's own processes on the box, until the tunnel is lost for good.

    on_change receives the new forwards, the ports whose server has ended, and a line for each port that
    cannot be forwarded. A forward stays open: a server that starts again has the address it had. Raises
    InputError if no port at all can be forwarded.
    """
    known = {one.port for one in link.forwarded}
    before: set[int] | None = None

    def take(found: tuple[Listener, ...]) -> None:
        nonlocal before
        now = {one.port for one in found}
        began = now if before is None else now - before
        ended = set() if before is None else before - now
        fresh = [one for one in found if one.port in began - known][: max(0, _MOST - len(known))]
        opened, problems = [], []
        for one in fresh:
            try:
                opened.append(link.forward(_near(one.port), program=one.program))
            except InputError as error:
                if one is fresh[-1] and not link.forwarded:
                    raise
                problems.append(f"port {one.port} of the box: {error.what}")
        known.update(one.port for one in opened)
        again = [one for one in link.forwarded if one.port in began and one not in opened]
        # What the config and the command line name is shown already.
        on_change(
            (*(again if before is not None else ()), *opened), tuple(sorted(ended & known)), tuple(problems)
        )
        before = now

    while True:
        try:
            listeners.watch(link.connection, take)
        except MachineUnreachable:
            link.wait(_LOOK_S)  # raises if it does not come back


def _near(port: int) -> Forward:
    """The same port here; below 1024, which needs root, 8000 more."""
    return Forward(local=port if port >= values.LEAST_LOCAL_PORT else port + 8000, remote=port)
