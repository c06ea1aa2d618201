"""When this laptop last read which of the user's boxes are stopped: once a day is enough for a reminder."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from gpu_box.files import read_own, write_whole

_EVERY_S = 86_400.0


def is_due(memory: Path) -> bool:
    with suppress(OSError, ValueError):
        return not 0 <= time.time() - float(read_own(memory)) < _EVERY_S
    return True


def note(memory: Path) -> None:
    with suppress(OSError):
        write_whole(memory, str(time.time()))
