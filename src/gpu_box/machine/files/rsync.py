"""Files up by the system's rsync, through the system's ssh: deltas of large files, one stream for small ones.

Never down: hostile servers have made rsync clients write outside their folder (CVE-2022-29154,
CVE-2024-12087), and no version number tells what a distribution has patched.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from functools import cache
from pathlib import Path
from types import TracebackType

from gpu_box.errors import MachineError
from gpu_box.machine.files.transfer import Transfer, disk_full, free_bytes
from gpu_box.machine.ssh import ssh_config
from gpu_box.machine.ssh.connection import STALLED_S, Connection
from gpu_box.machine.ssh.errors import connection_lost
from gpu_box.machine.ssh.shell import quote
from gpu_box.model.machine import Host

_OLDEST = (3, 1)  # --info=progress2; macOS has 2.6.9 or another program of that name: SFTP serves there
_LOST = (10, 12, 30, 35, 255)  # rsync(1): socket, protocol stream, two time-outs; ssh's own 255
_VANISHED = 24  # a source file went away meanwhile: fine
_MOST_ERRORS_BYTES = 65536


@cache
def usable() -> bool:
    """Whether this laptop has an rsync and an ssh that serve."""
    program = shutil.which("rsync")
    if not program or not shutil.which("ssh"):
        return False
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.match(r"rsync +version v?(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= _OLDEST


class Rsync:
    """One that is on its way to the box already while it is found out what has to travel.

    It connects and logs in, which takes six round trips, and waits for the names. For a `with` block.
    """

    def __init__(self, host: Host, here: Path, there: str) -> None:
        """here, there: the two folders; there, a leading ~/ is the home folder."""
        self._host = host
        self._began = time.monotonic()
        self._told = False
        ours = f"{here}{os.sep}"
        # By the machine's shell and not as rsync's argument, in which rsync itself expands * and [ ].
        folder = quote(there)
        begin, theirs = f"mkdir -p {folder} && cd {folder} && rsync", f"{host.name}:./"
        command = [
            "rsync", "--links", "--perms", "--chmod=ug-s,o-t", "--times", "--protect-args", "--compress",
            "--update", "--partial-dir=.gpu-box-partial", "--info=progress2", "--no-inc-recursive",
            f"--timeout={STALLED_S:.0f}", "--from0", "--files-from=-", f"--rsync-path={begin}",
            "-e", f'ssh -F "{ssh_config.private_config(host)}" -o BatchMode=yes',
            ours, theirs,
        ]  # fmt: skip
        errors, end_of_rsync = os.pipe()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=end_of_rsync,
            env={**os.environ, "LC_ALL": "C"},
        )
        os.close(end_of_rsync)
        self._errors = b""
        self._reader = threading.Thread(target=self._read_errors, args=(errors,), daemon=True)
        self._reader.start()

    def __enter__(self) -> Rsync:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process as process:
            if not self._told:
                process.kill()  # nothing of it is worth its orderly end
            elif process.poll() is None:
                process.terminate()

    @property
    def waiting(self) -> bool:
        """Whether it still is, and its link has not been silent for so long that either end gives up."""
        return self._process.poll() is None and time.monotonic() - self._began < STALLED_S / 2

    def _read_errors(self, pipe: int) -> None:
        """Keep the first of them, drop the rest: the box may send them without end."""
        with open(pipe, "rb") as stream:
            self._errors = stream.read(_MOST_ERRORS_BYTES)
            while stream.read(_MOST_ERRORS_BYTES):
                pass

    def move(self, connection: Connection, transfer: Transfer) -> None:
        """As `move` below."""
        self._told = True
        # "./": a name that begins with ; or # would be a comment (rsync(1), --files-from).
        names = b"\0".join(b"./" + os.fsencode(entry.path) for entry in transfer.entries)
        process = self._process
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended: its status tells
            process.stdin.write(names)
            process.stdin.close()
        _show_progress(process, transfer)
        process.wait()
        self._reader.join(1)  # what rsync leaves behind may hold the stream open
        said = self._errors.decode(errors="replace").strip()
        if process.returncode in (0, _VANISHED):
            return
        if "No space left" in said:
            raise disk_full(self._host, free_bytes=free_bytes(connection, transfer), needed_bytes=0)
        if process.returncode in _LOST:
            raise connection_lost(self._host)
        reason = next((line for line in said.splitlines() if not line.startswith("rsync error")), said)
        raise MachineError(f"rsync failed ({process.returncode}): {reason}", where=self._host.name)


def move(connection: Connection, transfer: Transfer) -> None:
    """Raises MachineUnreachable when the link breaks (what came stays), MachineError when the box says no."""
    with Rsync(connection.host, transfer.here, transfer.there) as one:
        one.move(connection, transfer)


def _show_progress(process: subprocess.Popen[bytes], transfer: Transfer) -> None:
    """rsync redraws "1,234,567  45%  12.34MB/s  0:00:01" by carriage returns."""
    assert process.stdout
    line = b""
    while piece := os.read(process.stdout.fileno(), 4096):
        *drawn, line = (line[-4096:] + piece).replace(b"\n", b"\r").split(b"\r")
        if drawn and (found := re.search(rb"(\d+)%\s+\S+\s+(\d+):(\d\d):(\d\d)", drawn[-1])):
            percent, hours, minutes, seconds = map(int, found.groups())
            transfer.tell(percent, 3600 * hours + 60 * minutes + seconds)
