"""Starts a check of the machine while AWS is still being asked for its address.

The system's ssh connects to the box's last known address. It runs in parallel with Python, whose own SSH
takes a quarter of a second of CPU time. It talks only to a machine with the box's host key, and its answer
counts only if AWS confirms the address. Errors are ignored; the normal connection asks again.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import IO

from gpu_box.machine import setup
from gpu_box.machine.setup import Desired
from gpu_box.machine.ssh import errors, ssh_config
from gpu_box.machine.ssh.command import MOST_BYTES, AfterMark, Result
from gpu_box.model.machine import Host, MachineState

_CONNECT_S = 4  # for a machine silent for longer, the normal connection reports why


class EarlyCheck:
    """For a `with` block, at whose end the check is killed."""

    def __init__(self, name: str, desired: Desired) -> None:
        self._desired = desired
        self._to = ssh_config.last_private_files(name)
        self._mark = AfterMark()
        command = self._mark.command(setup.question(desired).command)
        self._process = _start(name, self._to.config, desired, command) if self._to else None

    def __enter__(self) -> EarlyCheck:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            with self._process:
                self._process.kill()

    @property
    def under_way(self) -> bool:
        return self._process is not None

    def answer(self, host: Host, desired: Desired) -> MachineState | None:
        """Wait for the result; None if the address or the question was wrong, or the check failed.

        Raises MachineError as `setup.check` does.
        """
        process = self._process
        if not process or self._to != ssh_config.private_files(host) or self._desired != desired:
            return None
        asked = setup.question(desired)
        try:
            out, err = _output(process, setup.CHECK_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise errors.timed_out(host, asked.command, setup.CHECK_TIMEOUT_S, None) from None
        if process.returncode:
            return None
        return setup.read_answer(
            asked, Result.of(0, self._mark.feed(out) + self._mark.rest(), err), host.name
        )


def _output(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[bytes, bytes]:
    """Both streams; a process that sends more than MOST_BYTES is killed. Raises TimeoutExpired."""
    assert process.stdout and process.stderr
    kept = {process.stdout: b"", process.stderr: b""}

    def read(stream: IO[bytes]) -> None:
        kept[stream] = stream.read(MOST_BYTES + 1)
        if len(kept[stream]) > MOST_BYTES:
            process.kill()

    readers = [threading.Thread(target=read, args=(stream,), daemon=True) for stream in kept]
    for reader in readers:
        reader.start()
    process.wait(timeout_s)
    for reader in readers:
        reader.join(1)  # a child of ssh may hold the stream open
    return kept[process.stdout], kept[process.stderr]


def _start(name: str, config: Path, desired: Desired, command: str) -> subprocess.Popen[bytes] | None:
    ssh = shutil.which("ssh")
    if ssh is None:
        return None
    asked = setup.question(desired)
    options = ["-F", str(config), "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S}"]
    with contextlib.suppress(OSError), tempfile.TemporaryFile() as stdin:
        stdin.write(asked.stdin)
        stdin.seek(0)
        return subprocess.Popen(
            [ssh, *options, name, "--", command],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that Ctrl-C reaches only us
        )
    return None
