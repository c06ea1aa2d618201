"""Detects that the reader of standard output went away (`logs | head -1`), even with nothing to print."""

from __future__ import annotations

import os
import select
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

READER_GONE = 141  # exit status of a program that SIGPIPE ended


@contextmanager
def ending_with_reader() -> Iterator[None]:
    """During a `with` block that waits, end this process silently once the reader of a pipe has gone."""
    try:
        out = sys.stdout.fileno()
        is_pipe = stat.S_ISFIFO(os.fstat(out).st_mode)
    except (OSError, ValueError):  # closed, or not a file
        is_pipe = False
    if not is_pipe:
        yield
        return
    over = threading.Event()

    def wait() -> None:
        pipe = select.poll()
        pipe.register(out, 0)  # only errors: the other end is closed
        if pipe.poll() and not over.is_set():
            os._exit(READER_GONE)

    threading.Thread(target=wait, daemon=True).start()
    try:
        yield
    finally:
        over.set()
