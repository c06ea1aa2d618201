"""File transfers of `gpu-box sync`, `pull` and `up`: the laptop touches a file while they run."""

import contextlib
import os
from typing import List, Tuple

from ..sample import SYNC, Used
from .as_user import acting_as
from .change import Changes
from .people import User


class Syncs:
    def __init__(self) -> None:
        self._changes = Changes()

    def read(self, users: List[User], *, mono: float, wall: float) -> Tuple[Used, ...]:
        """One reading for each user who ever transferred files."""
        found = []
        for user in users:
            with contextlib.suppress(OSError), acting_as(user):
                stamp = os.stat(os.path.join(user.home, ".gpu-box", "sync", "active")).st_mtime_ns
                found.append((user.home, stamp))
        return tuple(
            Used(SYNC, self._changes.quiet(home, stamp, mono=mono, age=wall - stamp / 1e9))
            for home, stamp in found
        )
