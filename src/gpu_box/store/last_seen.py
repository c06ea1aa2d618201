"""The last known state of a box (see aws/last_seen.py). Losing the file costs one round trip."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from gpu_box.files import read_own_json, write_whole
from gpu_box.model.observed import ANYTHING, NOTHING, Expected


def read(path: Path) -> Expected:
    """NOTHING if this laptop has not brought the box up, or has removed it."""
    try:
        expected = Expected(**read_own_json(path))
    except FileNotFoundError:
        return NOTHING
    except (OSError, ValueError, TypeError):
        return ANYTHING
    texts = (expected.state, expected.instance_id, expected.role_arn)
    known = all(isinstance(text, str) for text in texts) and expected.state in ("nothing", "stopped")
    return expected if known else ANYTHING


def note(path: Path, expected: Expected) -> None:
    """Write the file; NOTHING removes it. Errors are ignored."""
    if read(path) == expected:
        return
    with suppress(OSError):
        if expected == NOTHING:
            path.unlink(missing_ok=True)
        else:
            write_whole(path, json.dumps(asdict(expected)))
