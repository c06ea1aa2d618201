"""Runs one command on an SSH channel, with limits of size and time, because the box is not trusted."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_box.errors import printable

if TYPE_CHECKING:
    from paramiko import Channel

# For standard output, if it is kept, and standard error; real answers are far smaller.
MOST_BYTES = 8_000_000
REQUEST_S = 60.0  # for the machine to begin a command: it may be out of memory
_PAUSED_S = 0.5
_CHUNK_BYTES = 256 * 1024
_MOST_NOISE_BYTES = 64 * 1024
_LONGEST_SAID = 300  # characters of the box's text in an error message


@dataclass(frozen=True, kw_only=True)
class Result:
    """exit_status: -1 if a signal ended the command. The text is UTF-8, with bad bytes replaced."""

    exit_status: int
    stdout: str
    stderr: str

    @classmethod
    def of(cls, exit_status: int, stdout: bytes, stderr: bytes) -> Result:
        """Makes the box's control characters visible (`printable`)."""
        out, err = (printable(text.decode(errors="replace")) for text in (stdout, stderr))
        return cls(exit_status=exit_status, stdout=out, stderr=err)

    @property
    def said(self) -> str:
        """For a message: the last line of standard error, or of standard output, or the exit status."""
        text = self.stderr.strip() or self.stdout.strip()
        return text.splitlines()[-1][:_LONGEST_SAID] if text else f"exit status {self.exit_status}"


class CallbackFailed(Exception):
    """Wraps an error of the caller's callback, so that it is not mistaken for an error of the connection."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class TooMuch(Exception):
    """More than `MOST_BYTES` arrived."""


class AfterMark:
    """Drops the output of the login's start files (`echo Welcome` in ~/.bashrc) before the command's own.

    `command` prints a mark first. Without a mark, all text is output.
    """

    def __init__(self) -> None:
        self._mark = f"gpu-box-{os.urandom(8).hex()}"
        self._held: bytes | None = b""
        self.noise = False  # the start files print something

    @property
    def found(self) -> bool:
        return self._held is None

    def command(self, command: str) -> str:
        return f"echo {self._mark}; {command}"

    def feed(self, piece: bytes) -> bytes:
        if self._held is None:
            return piece
        self._held += piece
        before, mark, after = self._held.partition(self._mark.encode() + b"\n")
        if mark:
            self._held, self.noise = None, bool(before)
            return after
        return self.rest() if len(self._held) > _MOST_NOISE_BYTES else b""

    def rest(self) -> bytes:
        held, self._held = self._held, None
        return held or b""


class Clock:
    """A command's time left: in total, and since its last byte moved. In seconds; None: no limit."""

    def __init__(self, timeout_s: float | None, stall_s: float | None) -> None:
        self._timeout_s, self._stall_s = timeout_s, stall_s
        self._began = self._moved = time.monotonic()
        self._paused = False

    def moved(self) -> None:
        self._moved = time.monotonic()

    def pause(self) -> None:
        self._paused = True

    def restart(self) -> None:
        self._began = self._moved = time.monotonic()
        self._paused = False

    def left_s(self) -> float | None:
        """Never 0, which means "do not wait" to a socket. Of a paused clock: when to look again."""
        if self._paused:
            return _PAUSED_S
        now = time.monotonic()
        both = (self._timeout_s, self._began), (self._stall_s, self._moved)
        left = [since + limit_s - now for limit_s, since in both if limit_s is not None]
        return max(0.001, min(left)) if left else None

    @property
    def over(self) -> bool:
        left_s = self.left_s()
        return left_s is not None and left_s <= 0.001


def exchange(
    channel: Channel,
    command: str,
    *,
    stdin: bytes | Callable[[], bytes],
    take: Callable[[bytes], None],
    clock: Clock,
) -> tuple[int, bytes]:
    """Run the command and pass its standard output to `take`. Returns exit status and standard error.

    stdin: a function is called in a thread once the command has begun; the clock starts when it returns.

    Raises TimeoutError when the clock has run out, TooMuch if standard error exceeds MOST_BYTES,
    CallbackFailed for an error of `stdin`.
    """
    errors, failed = bytearray(), list[Exception]()
    with answering(channel, clock.left_s()):
        channel.exec_command(command)
    if callable(stdin):
        clock.pause()
    helpers = [
        _thread(lambda: _read_errors(channel, errors)),
        _thread(lambda: _write(channel, stdin, clock, failed)),
    ]
    while piece := _receive(channel, clock):
        clock.moved()
        take(piece)
    if failed:
        raise CallbackFailed(failed[0])
    for helper in helpers:
        helper.join(clock.left_s())
    if len(errors) > MOST_BYTES:
        raise TooMuch
    if not channel.status_event.wait(clock.left_s()):
        raise TimeoutError
    return channel.recv_exit_status(), bytes(errors)


@contextlib.contextmanager
def answering(channel: Channel, timeout_s: float | None) -> Iterator[None]:
    """For a `with` block around a request, whose answer paramiko awaits without limit.

    Raises TimeoutError after REQUEST_S, or timeout_s if that is less.
    """
    late = threading.Event()

    def give_up() -> None:
        late.set()
        channel.close()  # wakes the one that waits

    timer = threading.Timer(min(REQUEST_S, timeout_s or REQUEST_S), give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception:
        if late.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()


def _receive(channel: Channel, clock: Clock) -> bytes:
    while True:
        channel.settimeout(clock.left_s())
        try:
            return channel.recv(_CHUNK_BYTES)
        except TimeoutError:
            if clock.over:
                raise


def _read_errors(channel: Channel, errors: bytearray) -> None:
    with contextlib.suppress(OSError):  # the reader of standard output reports it
        while piece := channel.recv_stderr(_CHUNK_BYTES):
            errors.extend(piece)
            if len(errors) > MOST_BYTES:
                channel.close()
                return


def _write(
    channel: Channel, stdin: bytes | Callable[[], bytes], clock: Clock, failed: list[Exception]
) -> None:
    content = b""
    try:
        content = stdin() if callable(stdin) else stdin
    except Exception as error:
        failed.append(error)
        channel.close()  # wakes the reader of standard output
    if callable(stdin):
        clock.restart()
    # A command may end before it has read everything: its exit status says more than the broken pipe. The
    # reader of standard output reports a lost link.
    with contextlib.suppress(OSError, EOFError):
        rest = memoryview(content)
        while rest:
            try:
                sent = channel.send(bytes(rest[:_CHUNK_BYTES]))
            except TimeoutError:
                continue  # the reader of standard output enforces the time limit
            if not sent:
                return
            clock.moved()
            rest = rest[sent:]
        channel.shutdown_write()


def _thread(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread
