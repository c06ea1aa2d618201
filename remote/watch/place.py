"""Paths of the watcher's files: /var/lib and /run as root, ~/.gpu-box/watch as another user."""

import os
import zlib
from typing import List, NamedTuple, Optional, Tuple

from .read.people import User

STATE, RUN = "/var/lib/gpu-box/watch", "/run/gpu-box"
CODE, UNITS = "/usr/local/lib/gpu-box", "/usr/local/lib/systemd/system"


class Place(NamedTuple):
    state: str  # kept over a stop: samples, policy.json, stopped.json
    run: str  # of this boot: heartbeat, healthy, verdict.json

    @property
    def policy(self) -> str:
        return os.path.join(self.state, "policy.json")

    @property
    def stopped(self) -> str:
        return os.path.join(self.state, "stopped.json")

    @property
    def keep(self) -> str:
        return os.path.join(self.state, "keep")

    @property
    def verdict(self) -> str:
        return os.path.join(self.run, "verdict.json")

    @property
    def pid(self) -> str:
        return os.path.join(self.run, "pid")

    @property
    def figures(self) -> str:
        """Each signal's text as JSON, which the guard (a shell script) copies into its record."""
        return os.path.join(self.run, "figures.json")

    @property
    def heartbeat(self) -> str:
        return os.path.join(self.run, "heartbeat")

    @property
    def healthy(self) -> str:
        return os.path.join(self.run, "healthy")


def of_machine() -> Place:
    """The place of the watcher that systemd runs as root."""
    return Place(STATE, RUN)


def of_user(home: Optional[str] = None) -> Place:
    folder = os.path.join(home or os.path.expanduser("~"), ".gpu-box", "watch")
    return Place(folder, folder)


def find() -> Place:
    """The place of this machine's watcher, or of one that runs as this user.

    GPU_BOX_WATCH names another folder. A machine that shares its host uses its home directory.
    """
    folder = os.environ.get("GPU_BOX_WATCH")
    if folder:
        return Place(folder, folder)
    return of_machine() if systemd() or (os.geteuid() == 0 and not shared()) else of_user()


def shared() -> bool:
    """Whether this machine is a process that shares its host's kernel with other machines."""
    return "GPU_BOX_MACHINE" in os.environ


def systemd() -> bool:
    """Whether this machine runs its own systemd, which can run the fuse, watcher and guard."""
    return not shared() and "GPU_BOX_WATCH" not in os.environ and os.path.isdir("/run/systemd/system")


def this_start() -> str:
    """Identifies this start of the machine: files with another value are from before it was off."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
    except OSError:
        boot = ""
    return "%s/%s" % (boot, os.environ.get("GPU_BOX_BORN", ""))


def runs(place: Place) -> bool:
    """Whether the watcher of this place runs."""
    return bool(running(place)[0])


def running(place: Place) -> Tuple[int, str]:
    """(pid, version as `code` returns it) of the running watcher; (0, "") without one."""
    try:
        with open(place.pid, encoding="ascii") as file:
            pid, _, version = file.read().strip().partition(" ")
        with open("/proc/%d/cmdline" % int(pid), "rb") as file:
            return (int(pid), version) if b"watch\0run" in file.read() else (0, "")
    except (OSError, ValueError):
        return 0, ""


def code() -> str:
    """A checksum of this folder's Python files, which identifies the version."""
    here, total = os.path.dirname(os.path.abspath(__file__)), 0
    for folder, _, names in sorted(os.walk(here)):
        for name in sorted(names):
            if name.endswith(".py"):
                with open(os.path.join(folder, name), "rb") as file:
                    total = zlib.crc32(file.read(), total)
    return "%08x" % total


def keeps(place: Place, people: List[User]) -> List[Tuple[Optional[User], str]]:
    """The possible paths of `keep`, each with the user in whose home it is; None: root's folder."""
    return [(None, place.keep)] + [(user, of_user(user.home).keep) for user in people]


def write(path: str, text: str) -> None:
    """Replace a file atomically."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)
