"""Lists a folder of the box, or one file, for `pull`."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sync.answer import describe, send


def listing(name: str) -> None:
    path = os.fsencode(os.path.expanduser(name))
    if os.path.isdir(path):
        send(describe(path, single=False), path, _files(path))
    else:
        os.lstat(path)  # raises FileNotFoundError for the user
        folder, single = os.path.split(path)
        send(describe(folder, single=True), folder, [single])


def _files(folder: bytes) -> Iterator[bytes]:
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in sorted(files + links):
            yield os.path.relpath(os.path.join(parent, name), folder)
