"""A sign of life while a command has nothing to show yet: on a terminal, after half a second, gone before
anything else is shown.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

_PATIENCE_S = 0.5  # what is shorter needs no sign
_lock = threading.Lock()
_timer: threading.Timer | None = None
_status: Status | None = None


def begin(line: str) -> None:
    """Show the line with a spinner until `over`; another line replaces it."""
    global _timer
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return
    over()
    with _lock:
        _timer = threading.Timer(_PATIENCE_S, _show, [line])
        _timer.daemon = True
        _timer.start()


def over() -> None:
    """The terminal is somebody else's from here on."""
    global _timer, _status
    with _lock:
        if _timer:
            _timer.cancel()
        if _status:
            _status.stop()
        _timer = _status = None


def _show(line: str) -> None:
    global _status
    from rich.markup import escape

    from gpu_box.view import console

    with _lock:
        if _timer is threading.current_thread():  # not over by now
            _status = console.progress().status(f"[quiet]{escape(line)}[/]", spinner_style="quiet")
            _status.start()
