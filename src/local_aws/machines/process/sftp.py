"""SFTP on a process machine: relative paths start in the machine's home, absolute ones are the host's."""

from __future__ import annotations

import os
from pathlib import Path

import asyncssh


class HomeSFTP(asyncssh.SFTPServer):
    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], home: Path) -> None:
        super().__init__(chan)
        self._home = os.fsencode(home)

    def map_path(self, path: bytes) -> bytes:
        return os.path.join(self._home, path)
