"""Upload by the system's rsync over its ssh: deltas of large files, one stream for small ones.

Upload only: malicious servers have made rsync clients write outside their folder (CVE-2022-29154,
CVE-2024-12087), and a version number does not show what a distribution has patched.
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

from gpu_box.errors import MachineError
from gpu_box.machine.files.transfer import Transfer, disk_full, free_bytes
from gpu_box.machine.ssh import ssh_config
from gpu_box.machine.ssh.connection import STALLED_S, Connection
from gpu_box.machine.ssh.errors import connection_lost, malformed
from gpu_box.machine.ssh.shell import quote
from gpu_box.model.machine import Host

_OLDEST = (3, 1)  # --info=progress2; macOS has 2.6.9 or openrsync, so it uses SFTP
_LOST = (10, 12, 30, 35, 255)  # rsync(1): socket, protocol stream, two time-outs; 255 is ssh's own
_VANISHED = 24  # a source file was deleted meanwhile: fine
_MOST_ERRORS_BYTES = 65536


@cache
def usable() -> bool:
    """Whether this laptop has a recent rsync, and ssh."""
    program = shutil.which("rsync")
    if not program or not shutil.which("ssh"):
        return False
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.match(r"rsync +version v?(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= _OLDEST


class Rsync:
    """An rsync that connects while the list of files is being made.

    Logging in takes six round trips; then it waits for the names. For a `with` block.
    """

    def __init__(self, host: Host, here: Path, there: str) -> None:
        """here, there: the two folders; a leading ~/ in `there` is the home folder."""
        self._host = host
        self._began = time.monotonic()
        self._started = False
        ours = f"{here}{os.sep}"
        # In the machine's shell, not as rsync's argument, in which rsync expands * and [ ].
        folder = quote(there)
        begin, theirs = f"mkdir -p {folder} && cd {folder} && rsync", f"{host.name}:./"
        command = [
            "rsync", "--links", "--perms", "--chmod=ug-s,o-t", "--times", "--protect-args", "--compress",
            "--ignore-times", "--partial-dir=.gpu-box-partial", "--info=progress2", "--no-inc-recursive",
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

    def __exit__(self, *_: object) -> None:
        with self._process as process:
            if not self._started:
                process.kill()  # nothing to end in order
            elif process.poll() is None:
                process.terminate()

    @property
    def waiting(self) -> bool:
        """Whether it is still waiting, and its link has not been silent too long for either end."""
        return self._process.poll() is None and time.monotonic() - self._began < STALLED_S / 2

    def _read_errors(self, pipe: int) -> None:
        """Keep the first errors and drop the rest: the box may send them without end."""
        with open(pipe, "rb") as stream:
            self._errors = stream.read(_MOST_ERRORS_BYTES)
            while stream.read(_MOST_ERRORS_BYTES):
                pass

    def move(self, connection: Connection, transfer: Transfer) -> None:
        """As `move` below."""
        self._started = True
        # "./": a name that begins with ; or # would be a comment (rsync(1), --files-from).
        names = b"\0".join(b"./" + os.fsencode(entry.path) for entry in transfer.entries)
        process = self._process
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended: see its exit status
            process.stdin.write(names)
            process.stdin.close()
        _show_progress(process, transfer)
        process.wait()
        self._reader.join(1)  # a child of rsync may hold the stream open
        said = self._errors.decode(errors="replace").strip()
        if process.returncode in (0, _VANISHED):
            return
        if "No space left" in said:
            raise disk_full(self._host, free_bytes=free_bytes(connection, transfer), needed_bytes=0)
        if "is your shell clean?" in said:
            raise malformed(self._host, "rsync")
        if process.returncode in _LOST:
            raise connection_lost(self._host)
        reason = next((line for line in said.splitlines() if not line.startswith("rsync error")), said)
        raise MachineError(f"rsync failed ({process.returncode}): {reason}", where=self._host.name)


def move(connection: Connection, transfer: Transfer) -> None:
    """Raises MachineUnreachable if the link breaks (arrived files stay), MachineError if the box refuses."""
    with Rsync(connection.host, transfer.here, transfer.there) as one:
        one.move(connection, transfer)


def _show_progress(process: subprocess.Popen[bytes], transfer: Transfer) -> None:
    """rsync redraws "1,234,567  45%  12.34MB/s  0:00:01" with carriage returns."""
    assert process.stdout
    line = b""
    while piece := os.read(process.stdout.fileno(), 4096):
        *drawn, line = (line[-4096:] + piece).replace(b"\n", b"\r").split(b"\r")
        if drawn and (found := re.search(rb"(\d+)%\s+\S+\s+(\d+):(\d\d):(\d\d)", drawn[-1])):
            percent, hours, minutes, seconds = map(int, found.groups())
            transfer.show(percent, 3600 * hours + 60 * minutes + seconds)
