"""What people did to a notebook: the sources of its cells and how often they ran, without their outputs.

A file's time says less. JupyterLab's autosave and extensions that save on the server (jupyter-collaboration,
jupyter-server-documents) write a notebook anew whenever a kernel prints.
"""

import zlib

from .text import read, values

MOST = 8 << 20  # bytes


def edits(path: str) -> int:
    """A checksum that changes with each edit and run. OSError, ValueError: not read, or no whole notebook."""
    total = 0
    try:
        for cell in values(read(path, MOST))["cells"]:
            total = zlib.crc32(repr((cell.get("source"), cell.get("execution_count"))).encode(), total)
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("no notebook") from None
    return total
