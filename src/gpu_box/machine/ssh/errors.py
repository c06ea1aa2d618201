"""Errors over SSH, worded for the user. Raised by `connection` and its users."""

from __future__ import annotations

from gpu_box.errors import HostKeyChanged, MachineError, MachineUnreachable
from gpu_box.machine.ssh.command import Result
from gpu_box.model.machine import Host
from gpu_box.model.public_key import fingerprint

_LONGEST_REASON = 100


class LoginRefused(MachineError):
    """The right machine, but it rejects our key (for now: a booting machine installs it late)."""


def connection_lost(host: Host) -> MachineUnreachable:
    return MachineUnreachable(
        f"connection to {host.name} lost",
        where=f"{host.address}:{host.port}",
        remedy="Run the command again to continue.",
    )


def not_set_up(host: Host) -> MachineError:
    return MachineError("the box is not set up yet", where=host.name, remedy="Run `gpu-box up`.")


def login_refused(host: Host) -> LoginRefused:
    return LoginRefused(
        f"{host.name} does not accept the key {host.key} for user {host.user}",
        where=f"{host.address}:{host.port}",
        remedy="Set ssh.key to the key that the box was created with, and image.user to its login name.",
    )


def no_answer(host: Host, error: Exception) -> MachineUnreachable:
    """error: from the socket or the SSH handshake."""
    said = "timed out" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
    reason = " ".join(said.split())[:_LONGEST_REASON]
    return MachineUnreachable(
        "no SSH answer",
        where=f"{host.address}:{host.port}" + (f" ({reason})" if reason else ""),
        remedy="`gpu-box status` shows the box; `gpu-box up` waits for it and allows your address.",
    )


def timed_out(host: Host, command: str, timeout_s: float | None, stall_s: float | None) -> MachineError:
    """timeout_s: for the whole command; stall_s: without progress. The shorter one has passed."""
    if timeout_s is None or (stall_s is not None and stall_s < timeout_s):
        return stalled(host, f"`{shorten(command)}`", stall_s or 0)
    return MachineError(f"`{shorten(command)}` did not finish within {timeout_s:g} s", where=host.name)


def stalled(host: Host, what: str, stall_s: float) -> MachineError:
    return MachineError(
        f"{what} made no progress for {stall_s:g} s",
        where=host.name,
        remedy="Run the command again to continue, or look at the box with `gpu-box ssh`.",
    )


def malformed(host: Host, what: str) -> MachineError:
    return MachineError(
        f"its {what} server answers what {what} does not know: a start file of the box's shell prints "
        "(~/.bashrc?), or the server is broken",
        where=host.name,
        remedy="`gpu-box ssh` lets you look: a start file may print only where `[ -t 1 ]` is true.",
    )


def too_much(host: Host, command: str, most_bytes: int) -> MachineError:
    return MachineError(
        f"`{shorten(command)}` sent more than {most_bytes / 1e6:.0f} MB of text",
        where=host.name,
        remedy="Look at the box (`gpu-box ssh`); `gpu-box up` restores its own code.",
    )


def host_key_changed(host: Host, presented: str) -> HostKeyChanged:
    expected = " or ".join(fingerprint(line) for line in host.host_keys) or "none"
    return HostKeyChanged(
        f"another machine answers at the address of {host.name}: "
        f"its host key is {presented}, expected {expected}",
        where=f"{host.address}:{host.port}",
        remedy="Nothing was sent to it. Either someone intercepts the connection, or the box's host key was "
        "replaced by hand: then restore the old key, or make a new box (`gpu-box down`, `up`).",
    )


def command_failed(host: Host, command: str, result: Result) -> MachineError:
    how = f"exit status {result.exit_status}" if result.exit_status != -1 else "ended by a signal"
    said = f": {result.said}" if result.stderr.strip() or result.stdout.strip() else ""
    return MachineError(f"`{shorten(command)}` failed ({how}){said}", where=host.name)


def shorten(command: str) -> str:
    first = command.strip().splitlines()[0] if command.strip() else ""
    return first if len(first) <= 60 else first[:59] + "…"
