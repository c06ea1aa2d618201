"""Ends a cloud with the test process that made it, even after a kill -9.

A separate process waits for the end of a pipe, then shuts down the cloud and its machines.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpu_box.errors import GpuBoxError
from local_aws import daemon
from local_aws.files import Files
from local_aws.machines.nspawn.nspawn import NspawnMachine

_TAKES_S = 120  # at most: machines shut down in parallel
_LINGERS_S = 15.0  # for a test process to end after SIGTERM


@contextmanager
def leashed(home: Path) -> Iterator[None]:
    """Start the process. home: the cloud's folder, removed at the end."""
    keeper = subprocess.Popen(
        [sys.executable, __file__, str(home)],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C must reach only the tests
    )
    try:
        yield
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait(_TAKES_S)


def _take_down(home: Path) -> None:
    try:
        with suppress(GpuBoxError):  # the daemon hangs: end its machines anyway
            daemon.stop(home)
        machines = Files(home).machines
        for folder in machines.iterdir() if machines.is_dir() else ():
            NspawnMachine(Path(), folder.name, folder).destroy()
    finally:
        end = time.monotonic() + _LINGERS_S
        while home.exists() and time.monotonic() < end:
            shutil.rmtree(home, ignore_errors=True)  # an ending process may still write there
            time.sleep(0.2)


if __name__ == "__main__":
    sys.stdin.read()
    _take_down(Path(sys.argv[1]))
