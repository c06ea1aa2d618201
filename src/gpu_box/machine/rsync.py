"""Files by the system's rsync, through the system's ssh: deltas of large files, one stream for small ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from functools import cache

from gpu_box.errors import MachineError
from gpu_box.machine import sshconfig
from gpu_box.machine.connection import Connection
from gpu_box.machine.failures import connection_lost
from gpu_box.machine.quoting import quote
from gpu_box.machine.transfer import Transfer, disk_full

_OLDEST = (3, 1)  # --info=progress2; macOS has 2.6.9 or another program of that name: SFTP serves there
_LOST = (10, 12, 30, 35, 255)  # rsync(1): socket, protocol stream, two time-outs; ssh's own 255
_VANISHED = 24  # a source file went away meanwhile: fine
_STALLED_S = 60


@cache
def usable() -> bool:
    """Whether this laptop has an rsync and an ssh that serve."""
    program = shutil.which("rsync")
    if not program or not shutil.which("ssh"):
        return False
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.match(r"rsync +version v?(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= _OLDEST


def move(connection: Connection, transfer: Transfer) -> None:
    """Raises MachineUnreachable when the link breaks (what came stays), MachineError when the box says no."""
    host = connection.host
    here = f"{transfer.here}{os.sep}"
    # By the machine's shell and not as rsync's argument, in which rsync itself expands * and [ ].
    folder = quote(transfer.there)
    begin, there = f"mkdir -p {folder} && cd {folder} && rsync", f"{host.name}:./"
    command = [
        "rsync", "--links", "--perms", "--times", "--protect-args", "--compress", "--update",
        "--partial-dir=.gpu-box-partial", "--info=progress2", "--no-inc-recursive", f"--timeout={_STALLED_S}",
        "--from0", "--files-from=-", f"--rsync-path={begin}",
        "-e", f'ssh -F "{sshconfig.private_config(host)}" -o BatchMode=yes',
        *((here, there) if transfer.up else (there, here)),
    ]  # fmt: skip
    # "./": a name that begins with ; or # would be a comment (rsync(1), --files-from).
    names = b"\0".join(b"./" + os.fsencode(entry.path) for entry in transfer.entries)
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as listed:
        listed.write(names)
        listed.seek(0)
        with subprocess.Popen(
            command, stdin=listed, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, "LC_ALL": "C"}
        ) as process:
            try:
                _show_progress(process, transfer)
            except BaseException:
                process.terminate()
                raise
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()
    if process.returncode in (0, _VANISHED):
        return
    if "No space left" in said:
        raise disk_full(host, free_bytes=_free_bytes(connection, transfer), needed_bytes=0)
    if process.returncode in _LOST:
        raise connection_lost(host)
    reason = next((line for line in said.splitlines() if not line.startswith("rsync error")), said)
    raise MachineError(f"rsync failed ({process.returncode}): {reason}", where=host.name)


def _show_progress(process: subprocess.Popen[bytes], transfer: Transfer) -> None:
    """rsync redraws "1,234,567  45%  12.34MB/s  0:00:01" by carriage returns."""
    assert process.stdout
    line = b""
    while piece := os.read(process.stdout.fileno(), 4096):
        *drawn, line = (line + piece).replace(b"\n", b"\r").split(b"\r")
        if drawn and (found := re.search(rb"(\d+%)", drawn[-1])):
            transfer.report.update(
                transfer.step,
                f"{found[1].decode()} of {transfer.total_bytes / 1e6:.1f} MB",
            )


def _free_bytes(connection: Connection, transfer: Transfer) -> int:
    # Asked by itself: what rsync says is which file, not how much is left.
    code = "import shutil, sys; print(shutil.disk_usage(sys.argv[1]).free)"
    command = quote("python3", "-c", code, transfer.there)
    result = connection.run(command, check=False, timeout_s=30)
    return int(result.stdout.split()[-1]) if result.exit_status == 0 else 0
