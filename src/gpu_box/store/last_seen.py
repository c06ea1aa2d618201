"""The file of aws/last_seen.py. Losing it costs one round trip."""

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
    """NOTHING removes the file. Never fails a command."""
    if read(path) == expected:
        return
    with suppress(OSError):
        if expected == NOTHING:
            path.unlink(missing_ok=True)
        else:
            write_whole(path, json.dumps(asdict(expected)))
