"""Removes what interrupted transfers left of files that have arrived or are no longer sent.

The part of a file that is still to be sent stays, so that the next sync continues it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable

from sync.inside import part_name

_OF_RSYNC = b".gpu-box-partial"  # its --partial-dir, beside the file


def drop(folder: bytes, paths: Iterable[bytes]) -> None:
    by_parent: dict[bytes, set[bytes]] = {}
    for path in paths:
        parent, name = os.path.split(path)
        by_parent.setdefault(parent, set()).add(name)
    for parent, names in by_parent.items():
        where = os.path.join(folder, parent)
        with contextlib.suppress(OSError):
            for part in os.listdir(where):
                found = re.fullmatch(rb"(.*)\.[0-9]+--?[0-9]+\.gpu-box-part", part, re.DOTALL)
                if found and found[1] in {part_name(name) for name in names}:
                    os.unlink(os.path.join(where, part))
        partial = os.path.join(where, _OF_RSYNC)
        with contextlib.suppress(OSError):
            for name in names & set(os.listdir(partial)):
                os.unlink(os.path.join(partial, name))
            os.rmdir(partial)  # fails if other parts are left
