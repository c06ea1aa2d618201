"""A check of the machine that is on its way while AWS is still asked where the machine is.

By the system's ssh, to where this laptop last reached the box: it works beside Python, whose own SSH takes a
quarter of a second of processor time. It shows itself to none but a machine with the box's host key, and what
it brings counts only where AWS then says that it went to the right place. Whatever it lacks or meets, nothing
fails: the machine is asked again, as if it had not been.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import IO

from gpu_box.machine import setup
from gpu_box.machine.setup import Desired
from gpu_box.machine.ssh import errors, ssh_config
from gpu_box.machine.ssh.command import MOST_BYTES, Result
from gpu_box.model.machine import Host, MachineState

_CONNECT_S = 4  # a machine that is silent for longer is asked by a connection that can say why


class Ahead:
    """For a `with` block, at whose end it is over."""

    def __init__(self, name: str, desired: Desired) -> None:
        self._desired = desired
        self._to = ssh_config.last_private_files(name)
        self._process = _start(name, self._to.config, desired) if self._to else None

    def __enter__(self) -> Ahead:
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
        """What it found, waited for; None where it was sent elsewhere, or for something else, or failed.

        Raises MachineError where the machine cannot tell, as `setup.check`.
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
        return setup.read_answer(asked, Result.of(0, out, err), host.name)


def _output(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[bytes, bytes]:
    """Both streams; a process that sends more than MOST_BYTES is ended. Raises TimeoutExpired."""
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
        reader.join(1)  # what ssh leaves behind may hold the stream open
    return kept[process.stdout], kept[process.stderr]


def _start(name: str, config: Path, desired: Desired) -> subprocess.Popen[bytes] | None:
    ssh = shutil.which("ssh")
    if ssh is None:
        return None
    asked = setup.question(desired)
    options = ["-F", str(config), "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S}"]
    with contextlib.suppress(OSError), asked.script.open("rb") as script:
        return subprocess.Popen(
            [ssh, *options, name, "--", asked.command],
            stdin=script,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
    return None
