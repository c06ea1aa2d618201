"""The servers of the user's own processes on the box (remote/attach/listeners.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpu_box.errors import MachineError
from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.shell import NO_CODE, remote_module
from gpu_box.model.answer import Fields, Malformed, as_list, read_json

_LAST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class Listener:
    port: int
    program: str


def watch(connection: Connection, on_change: Callable[[tuple[Listener, ...]], None]) -> None:
    """Pass the listeners to `on_change`, now and at each change. Never returns.

    Raises MachineUnreachable if the connection breaks, MachineError for an invalid answer.
    """

    def take(line: str) -> None:
        try:
            on_change(tuple(map(_listener, as_list(read_json(line)))))
        except ValueError:
            raise MachineError(
                f"invalid list of servers from the box: {line[:80]!r}",
                where=connection.host.name,
                remedy="Look at the box (`gpu-box ssh`); `gpu-box up` restores its own code.",
            ) from None

    command = remote_module("attach", "listeners")
    ended = connection.run(command, on_line=take, check=False, timeout_s=None)
    if ended.exit_status == NO_CODE:
        raise MachineError(
            "the box cannot list its servers yet",
            where=connection.host.name,
            remedy="Run `gpu-box up`, or name the port: `gpu-box tunnel 6006`.",
        )
    raise MachineError(
        f"the list of the box's servers ended: {ended.said}",
        where=connection.host.name,
        remedy="Name the port instead: `gpu-box tunnel 6006`.",
    )


def _listener(value: object) -> Listener:
    fields = Fields(value)
    port = fields.whole("port", most=_LAST_PORT)
    if not port:
        raise Malformed("port 0")
    return Listener(port=port, program=fields.text("program", ""))
