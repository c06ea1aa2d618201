"""Detects edits and runs in a notebook: changes of cell sources and execution counts, not of outputs.

The file's time does not suffice: JupyterLab's autosave and extensions that save on the server
(jupyter-collaboration, jupyter-server-documents) rewrite a notebook whenever a kernel prints.
"""

import zlib
from typing import Any

from .text import read, values

MOST = 8 << 20  # bytes


def edits(path: str) -> int:
    """A checksum that changes with each edit and run. Raises OSError or ValueError if it is not readable."""
    total = 0
    try:
        for cell in values(read(path, MOST))["cells"]:
            total = zlib.crc32(repr((cell.get("source"), cell.get("execution_count"))).encode(), total)
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("no notebook") from None
    return total


def by_a_person(path: str, saved: int, recorded: str) -> int:
    """The time of the last save by a person, in ns. saved: the file's time.

    recorded: JSON of the recorder (jupyter/recorder.py), {path: [its last save, that of a person]}, which it
    writes before the file.
    """
    try:
        its, person = values(recorded)[path]
        recorders = _is_time(its) and _is_time(person) and person < saved <= its
    except (KeyError, TypeError, ValueError):
        return saved
    return person if recorders else saved


def _is_time(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63
