"""One command on an SSH channel, within limits of size and time: the box may send without end, or nothing."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_box.errors import printable

if TYPE_CHECKING:
    from paramiko import Channel

# Of standard output, where it is kept, and of standard error: no answer of ours comes near it.
MOST_BYTES = 8_000_000
_CHUNK_BYTES = 256 * 1024
_LONGEST_SAID = 300  # characters of the box's own words in an error message


@dataclass(frozen=True, kw_only=True)
class Result:
    """exit_status: -1 where a signal ended the command. The text is UTF-8; bad bytes are replaced."""

    exit_status: int
    stdout: str
    stderr: str

    @classmethod
    def of(cls, exit_status: int, stdout: bytes, stderr: bytes) -> Result:
        """Control characters of the box are shown, not obeyed (`printable`)."""
        out, err = (printable(text.decode(errors="replace")) for text in (stdout, stderr))
        return cls(exit_status=exit_status, stdout=out, stderr=err)

    @property
    def said(self) -> str:
        """For a message: the last line of standard error, else of standard output, else the exit status."""
        text = self.stderr.strip() or self.stdout.strip()
        return text.splitlines()[-1][:_LONGEST_SAID] if text else f"exit status {self.exit_status}"


class TooMuch(Exception):
    """More came than `MOST_BYTES`."""


class Clock:
    """What is left of a command's time: in all, and since its last byte moved. None: no limit; in seconds."""

    def __init__(self, timeout_s: float | None, stall_s: float | None) -> None:
        self._timeout_s, self._stall_s = timeout_s, stall_s
        self._began = self._moved = time.monotonic()

    def moved(self) -> None:
        self._moved = time.monotonic()

    def left_s(self) -> float | None:
        """Never 0, which a socket takes for "do not wait"."""
        now = time.monotonic()
        both = (self._timeout_s, self._began), (self._stall_s, self._moved)
        left = [since + limit_s - now for limit_s, since in both if limit_s is not None]
        return max(0.001, min(left)) if left else None

    @property
    def over(self) -> bool:
        left_s = self.left_s()
        return left_s is not None and left_s <= 0.001


def exchange(
    channel: Channel, command: str, *, stdin: bytes, take: Callable[[bytes], None], clock: Clock
) -> tuple[int, bytes]:
    """Run it; each piece of its standard output goes to `take`. Returns its exit status and standard error.

    Raises TimeoutError once the clock is over, TooMuch for a standard error longer than MOST_BYTES.
    """
    errors = bytearray()
    channel.exec_command(command)
    helpers = [
        _thread(lambda: _read_errors(channel, errors)),
        _thread(lambda: _write(channel, stdin, clock)),
    ]
    while piece := _receive(channel, clock):
        clock.moved()
        take(piece)
    for helper in helpers:
        helper.join(clock.left_s())
    if len(errors) > MOST_BYTES:
        raise TooMuch
    if not channel.status_event.wait(clock.left_s()):
        raise TimeoutError
    return channel.recv_exit_status(), bytes(errors)


def _receive(channel: Channel, clock: Clock) -> bytes:
    while True:
        channel.settimeout(clock.left_s())
        try:
            return channel.recv(_CHUNK_BYTES)
        except TimeoutError:
            if clock.over:
                raise


def _read_errors(channel: Channel, errors: bytearray) -> None:
    with contextlib.suppress(OSError):  # the reader of standard output tells
        while piece := channel.recv_stderr(_CHUNK_BYTES):
            errors.extend(piece)
            if len(errors) > MOST_BYTES:
                channel.close()
                return


def _write(channel: Channel, content: bytes, clock: Clock) -> None:
    # A command may end before it has read all: its exit status tells more than the broken pipe.
    with contextlib.suppress(OSError):
        rest = memoryview(content)
        while rest:
            try:
                sent = channel.send(bytes(rest[:_CHUNK_BYTES]))
            except TimeoutError:
                continue  # the reader of standard output decides when it has been too long
            if not sent:
                return
            clock.moved()
            rest = rest[sent:]
        channel.shutdown_write()


def _thread(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread
