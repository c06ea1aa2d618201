"""Keeps the box awake during a transfer, however slow the link."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from gpu_box.errors import GpuBoxError
from gpu_box.machine.ssh.connection import Connection

_EVERY_S = 30.0  # well below the shortest useful idle.after
# remote/sync creates the file; the box's watcher sees its time change (watch/read/syncs.py).
_MARK = "touch ~/.gpu-box/sync/active"


@contextlib.contextmanager
def held(connection: Connection) -> Iterator[None]:
    """Renew the mark during a `with` block. If the laptop goes away, the box becomes idle again."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(_EVERY_S):
            with contextlib.suppress(GpuBoxError, OSError, EOFError):  # the transfer reports a lost link
                connection.run(_MARK, check=False)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(1)
