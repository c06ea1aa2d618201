"""ministack, an emulator of AWS that others wrote: in a virtual environment of its own, on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ..paths import ROOT

VERSION = "1.5.33"  # the one whose faults are in excuses.py
_VENV = ROOT / ".emulator" / VERSION
_STARTS_S = 30.0


def installed() -> Path:
    """Its program. Skips the test where it cannot be installed."""
    program = _VENV / "bin" / "ministack"
    if not program.exists():
        _run(sys.executable, "-m", "venv", str(_VENV))
        _run(str(_VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", f"ministack=={VERSION}")
    return program


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or "no reason given").splitlines()[-1]
        pytest.skip(f"needs ministack {VERSION}, which cannot be installed: {said}")


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Its address. folder: what it writes goes there."""
    program, port = installed(), _free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "BIND_HOST": "127.0.0.1",  # it would listen on every address
        "GATEWAY_PORT": str(port),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program], env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            _wait_for(port, process, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(2)
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + _STARTS_S
    while process.poll() is None and time.monotonic() < give_up:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    pytest.fail(f"ministack did not start: {log.read_text()[-2000:]}")
