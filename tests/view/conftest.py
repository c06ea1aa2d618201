"""Outputs for views: a console of 80 columns without colour, and a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from fcntl import ioctl
from io import StringIO

import pytest
from rich.console import RenderableType

from gpu_box.view import console

Draw = Callable[..., str]
OnTerminal = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown in the laptop's time zone."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def draw() -> Draw:
    """The text that our console prints, without blanks at line ends; no line is wider than the console."""

    def drawn(what: RenderableType, width: int = 80) -> str:
        ours = console._console(stderr=False)
        ours.file, ours.width, ours.soft_wrap = StringIO(), width, False  # as on a terminal
        ours.print(what)
        lines = ours.file.getvalue().splitlines()
        assert max(map(len, lines), default=0) <= width
        return "\n".join(line.rstrip() for line in lines)

    return drawn


@pytest.fixture
def on_terminal() -> OnTerminal:
    """Run Python source on a pseudo-terminal of 80 columns; returns its exit status and its output."""

    def run(source: str, **environment: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        known = {
            key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "COLORTERM")
        }
        process = subprocess.Popen(
            [sys.executable, "-c", source],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**known, "TERM": "xterm-256color", **environment},
            start_new_session=True,
        )
        os.close(theirs)
        written = bytearray()
        deadline = time.monotonic() + 30
        try:
            while select.select([ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
                try:
                    written += os.read(ours, 65536)
                except OSError:  # on Linux: the other end is closed
                    break
                else:
                    continue
            else:
                process.kill()
                raise AssertionError(f"it did not end within 30 s; it wrote {bytes(written[-500:])!r}")
        finally:
            os.close(ours)
            status = process.wait(timeout=60)
        return status, written.decode()

    return run
