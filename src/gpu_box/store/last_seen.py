"""How this laptop last left a box. It decides only what is asked first, never what is done.

AWS is the truth: what it tells against this is believed, and the rest is asked then. Whoever loses the file
waits for one round trip more.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from gpu_box.files import write_whole
from gpu_box.model.observed import ANYTHING, NOTHING, Expected


def read(path: Path) -> Expected:
    """NOTHING where this laptop has not brought the box up, or has taken it down."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Expected(**told)
    except FileNotFoundError:
        return NOTHING
    except (OSError, ValueError, KeyError, TypeError):
        return ANYTHING


def note(path: Path, expected: Expected) -> None:
    """Never fails a command."""
    if read(path) != expected:
        with suppress(OSError):
            write_whole(path, json.dumps(asdict(expected)))


def forget(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
