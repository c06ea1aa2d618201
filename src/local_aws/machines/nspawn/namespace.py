"""A network namespace with only a loopback: the network of one nspawn machine.

The loopback also has the address of the instance metadata service, as the link of AWS's machines does.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from local_aws.machines import metadata

_CLONE_NEWNET = 0x40000000  # sched.h
_FOLDER = Path("/run/netns")  # where ip(8) keeps them


class Namespace:
    """`socket()` makes sockets in the namespace, usable from any thread of this process."""

    def __init__(self, name: str) -> None:
        self.path = _FOLDER / name
        self._name = name
        self._thread: ThreadPoolExecutor | None = None

    def create(self) -> None:
        self.remove()
        _ip("netns", "add", self._name)
        _ip("-n", self._name, "link", "set", "lo", "up")
        _ip("-n", self._name, "address", "add", f"{metadata.ADDRESS}/32", "dev", "lo")
        # setns moves a thread for good: this thread only makes sockets.
        self._thread = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix=self._name, initializer=self._enter
        )

    def remove(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        if self.path.exists():
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", self._name)

    def socket(self) -> socket.socket:
        assert self._thread is not None, "made by `create`"
        return self._thread.submit(socket.socket, socket.AF_INET, socket.SOCK_STREAM).result()

    def _enter(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with self.path.open("rb") as file:
            if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(self.path))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
