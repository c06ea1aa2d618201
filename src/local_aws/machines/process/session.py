"""One SSH session on a process machine: a command or a shell, with or without a terminal.

The streams are copied here: asyncssh's own `redirect()` followed by `drain()` lost the exit status of a
command with 3 MB of output.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh

from local_aws.machines.process import terminal
from local_aws.machines.process.environment import shell

_CHUNK = 64 * 1024  # bytes
_LAST_WORDS_S = 0.5  # how long a terminal is read after its shell has ended


async def serve(
    process: asyncssh.SSHServerProcess[bytes], *, home: Path, environment: Mapping[str, str], groups: set[int]
) -> None:
    """Run the client's command and send its exit status. `groups` gains its process group."""
    env = {**environment, **_session_variables(process)}
    if process.term_type is None:
        await _serve_pipes(process, home, env, groups)
    else:
        await _serve_terminal(process, home, env, groups)


def _session_variables(process: asyncssh.SSHServerProcess[bytes]) -> dict[str, str]:
    """The variables that sshd sets for a session, and the locale that the client sends."""
    peer = process.get_extra_info("peername")
    own = process.get_extra_info("sockname")
    sent = {k: v for k, v in process.env.items() if k == "LANG" or k.startswith("LC_")}
    sent["SSH_CLIENT"] = f"{peer[0]} {peer[1]} {own[1]}"
    sent["SSH_CONNECTION"] = f"{peer[0]} {peer[1]} {own[0]} {own[1]}"
    if process.term_type is not None:
        sent["TERM"] = process.term_type
    return sent


async def _serve_pipes(
    process: asyncssh.SSHServerProcess[bytes], home: Path, env: dict[str, str], groups: set[int]
) -> None:
    command = [shell(), "-c", process.command] if process.command else [shell(), "-l"]
    child = subprocess.Popen(
        command, cwd=home, env=env, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    assert child.stdin and child.stdout and child.stderr
    groups.add(child.pid)
    for stream in (child.stdin, child.stdout, child.stderr):
        os.set_blocking(stream.fileno(), False)
    stdin = asyncio.create_task(_to_child(process, child.stdin.fileno(), child.pid, close=child.stdin.close))
    outputs = [
        asyncio.create_task(_to_client(child.stdout.fileno(), process.stdout)),
        asyncio.create_task(_to_client(child.stderr.fileno(), process.stderr)),
    ]
    try:
        # As with sshd, the session lasts until the command and its children have closed both outputs.
        await _until_closed(process, asyncio.gather(*outputs, _exit(child)))
        _pass_on_exit(process, child)
    finally:
        await _end(stdin, *outputs)
        for stream in (child.stdin, child.stdout, child.stderr):
            stream.close()


async def _serve_terminal(
    process: asyncssh.SSHServerProcess[bytes], home: Path, env: dict[str, str], groups: set[int]
) -> None:
    master, slave = os.openpty()
    _resize(master, process.term_size)
    program = shell()
    # A leading hyphen in argv[0] makes it a login shell, as with sshd.
    argv = [Path(program).name, "-c", process.command] if process.command else [f"-{Path(program).name}"]
    child = subprocess.Popen(
        [sys.executable, "-IS", str(terminal.__file__), program, *argv],
        cwd=home, env={**env, "SSH_TTY": os.ttyname(slave)}, start_new_session=True,
        stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    groups.add(child.pid)
    os.set_blocking(master, False)
    stdin = asyncio.create_task(_to_child(process, master, child.pid, close=lambda: None))
    output = asyncio.create_task(_to_client(master, process.stdout))
    try:
        await _until_closed(process, _exit(child))
        if child.returncode is not None:
            # A background process may hold the terminal open for ever.
            await asyncio.wait([output], timeout=_LAST_WORDS_S)
            _pass_on_exit(process, child)
    finally:
        await _end(stdin, output)
        os.close(master)  # the kernel sends SIGHUP to the terminal's processes


async def _until_closed(process: asyncssh.SSHServerProcess[bytes], work: asyncio.Future[Any]) -> None:
    """Wait for the work, or for the client to disconnect, whichever comes first."""
    closed = asyncio.create_task(process.channel.wait_closed())
    try:
        await asyncio.wait([work, closed], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (work, closed):
            if not task.done():
                task.cancel()
            with suppress(asyncio.CancelledError, OSError, asyncssh.Error):
                await task


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Before the files that they wait for are closed: the loop would keep watching the numbers.

    When the client goes away one of them may fail, and `gather` leaves the others at work.
    """
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError, OSError, asyncssh.Error):
            await task


def _exit(child: subprocess.Popen[bytes]) -> asyncio.Future[Any]:
    """Done when the child has ended. One thread per child: a shell may live for days and exhaust a pool."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell() -> None:
        if not done.done():
            done.set_result(None)

    def wait() -> None:
        child.wait()
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=wait, name=f"wait-{child.pid}", daemon=True).start()
    return done


def _pass_on_exit(process: asyncssh.SSHServerProcess[bytes], child: subprocess.Popen[bytes]) -> None:
    status = child.returncode
    if status is None or process.is_closing():
        return
    if status < 0:
        process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
    else:
        process.exit(status)


async def _to_client(fd: int, writer: asyncssh.SSHWriter[bytes]) -> None:
    while data := await _read(fd):
        writer.write(data)
        await writer.drain()


async def _to_child(
    process: asyncssh.SSHServerProcess[bytes], fd: int, group: int, *, close: Callable[[], None]
) -> None:
    """Forward input, signals and window sizes until the client's input ends."""
    while True:
        try:
            data = await process.stdin.read(_CHUNK)
            if not data:
                break
            await _write(fd, data)
        except asyncssh.TerminalSizeChanged as change:
            _resize(fd, change.term_size)
        except asyncssh.SignalReceived as received:
            _deliver(received.signal, group)
        except asyncssh.BreakReceived:
            _deliver("INT", group)
        except (OSError, asyncssh.Error):  # the child has closed its input, or the connection broke
            break
    close()


def _deliver(name: str, group: int) -> None:
    number = getattr(signal, f"SIG{name}", None)
    if number is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _resize(fd: int, size: tuple[int, int, int, int]) -> None:
    columns, rows, x_pixels, y_pixels = size
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows or 24, columns or 80, x_pixels, y_pixels))


async def _read(fd: int) -> bytes:
    while True:
        try:
            return os.read(fd, _CHUNK)
        except BlockingIOError:
            await _ready(fd, writing=False)
        except OSError as error:
            if error.errno == errno.EIO:  # on Linux: the other end of the terminal is closed
                return b""
            raise


async def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            await _ready(fd, writing=True)


async def _ready(fd: int, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    add(fd, tell)
    try:
        await ready
    finally:
        remove(fd)
