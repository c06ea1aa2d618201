"""One command on the box by the system's ssh, which runs in parallel with Python.

Python's own SSH takes a quarter of a second of CPU time before it connects. ssh talks only to a machine with
the box's host key. Its errors are ignored: the normal connection asks again and reports them.

A log-in takes nine round trips, a command on an open connection two: ssh keeps the connection for the next
command (ssh_config(5), ControlPersist). On the box an idle connection is no use of it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import IO, Self

from gpu_box.errors import InputError
from gpu_box.machine.ssh import ssh_config
from gpu_box.machine.ssh.command import MOST_BYTES, AfterMark

SHARE = True  # False: each command makes a connection of its own
_SHARED_S = 600  # after its last command
_CONNECT_S = 4  # for a machine silent for longer, the normal connection reports why
_BEGIN_S = 10  # until the command has begun: a connection from before the laptop slept may be dead
# As Python's own SSH does. OpenSSH's first choice, sntrup761, takes another 80 ms of CPU time at both ends.
_KEX = "^curve25519-sha256,curve25519-sha256@libssh.org"


class SystemSsh:
    """Connects at once. For a `with` block, at whose end ssh is killed."""

    def __init__(self, config: Path, name: str, command: str) -> None:
        self._mark = AfterMark()
        self._process = _start(config, name, self._mark.command(command))
        self._stdin: IO[bytes] | None = None
        if self._process:
            self._stdin, self._process.stdin = self._process.stdin, None  # ours to close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            with self._process:
                self._process.kill()
            self.send(b"")

    def send(self, stdin: bytes) -> None:
        """The command's whole standard input, once; it is written in a thread."""
        pipe, self._stdin = self._stdin, None

        def write(pipe: IO[bytes]) -> None:
            # Of a command that does not read it, the exit status says more.
            with contextlib.suppress(OSError), pipe:
                pipe.write(stdin)

        if pipe:
            threading.Thread(target=write, args=(pipe,), daemon=True).start()

    def output(self, timeout_s: float) -> tuple[bytes, bytes] | None:
        """Standard output and standard error; None if ssh or the command failed. Raises TimeoutExpired."""
        if self._process is None:
            return None
        said = _output(self._process, self._mark, timeout_s)
        return None if self._process.returncode else said


def _output(process: subprocess.Popen[bytes], mark: AfterMark, timeout_s: float) -> tuple[bytes, bytes]:
    """Both streams; a process that sends more than MOST_BYTES, or no mark for _BEGIN_S, is killed. Raises
    TimeoutExpired.
    """
    assert process.stdout and process.stderr
    streams = process.stdout, process.stderr
    process.stdout = process.stderr = None  # the readers close them
    kept = bytearray(), bytearray()
    begun = threading.Event()

    def read(stream: IO[bytes], into: bytearray, own: AfterMark | None) -> None:
        with stream:
            while len(into) <= MOST_BYTES and (piece := os.read(stream.fileno(), 1 << 16)):
                into.extend(own.feed(piece) if own else piece)
                if own and own.found:
                    begun.set()
            if len(into) > MOST_BYTES:
                process.kill()
        if own:
            into.extend(own.rest())
            begun.set()

    readers = [
        threading.Thread(target=read, args=each, daemon=True)
        for each in zip(streams, kept, (mark, None), strict=True)
    ]
    for reader in readers:
        reader.start()
    if not begun.wait(_BEGIN_S):
        process.kill()
    process.wait(timeout_s)
    for reader, patience_s in zip(readers, (1, 0.1), strict=True):
        reader.join(patience_s)  # before OpenSSH 8.5 the connection that is kept has standard error open
    return bytes(kept[0]), bytes(kept[1])


def _sharing(name: str) -> list[str]:
    with contextlib.suppress(InputError, OSError):
        path = ssh_config.own_socket(name)
        return ["ControlMaster=auto", f"ControlPath={path}", f"ControlPersist={_SHARED_S}"]
    return []


def _start(config: Path, name: str, command: str) -> subprocess.Popen[bytes] | None:
    ssh = shutil.which("ssh")
    if ssh is None:
        return None
    options = ["BatchMode=yes", f"ConnectTimeout={_CONNECT_S}", f"KexAlgorithms={_KEX}"]
    options += _sharing(name) if SHARE else []
    words = [word for option in options for word in ("-o", option)]
    with contextlib.suppress(OSError):
        return subprocess.Popen(
            [ssh, "-F", str(config), *words, name, "--", command],
            cwd="/",  # which the connection that is kept may hold busy
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that Ctrl-C reaches only us
        )
    return None
