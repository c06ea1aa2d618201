"""Where the watcher keeps what: /var/lib and /run for root, ~/.gpu-box/watch for anyone else."""

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
        """Each signal's last reading in words: for the guard, which can copy a file and not read one."""
        return os.path.join(self.run, "figures.json")

    @property
    def heartbeat(self) -> str:
        return os.path.join(self.run, "heartbeat")

    @property
    def healthy(self) -> str:
        return os.path.join(self.run, "healthy")


def of_machine() -> Place:
    """The machine's own watcher: the one that systemd runs as root."""
    return Place(STATE, RUN)


def of_user(home: Optional[str] = None) -> Place:
    folder = os.path.join(home or os.path.expanduser("~"), ".gpu-box", "watch")
    return Place(folder, folder)


def find() -> Place:
    """The place of the watcher that watches this machine, or that would if it ran as this user.

    GPU_BOX_WATCH names another folder. A machine that shares its host with others has its own in its home.
    """
    folder = os.environ.get("GPU_BOX_WATCH")
    if folder:
        return Place(folder, folder)
    return of_machine() if systemd() or (os.geteuid() == 0 and not shared()) else of_user()


def shared() -> bool:
    """Whether this machine shares its host, and the host's kernel, with others."""
    return "GPU_BOX_MACHINE" in os.environ


def systemd() -> bool:
    """Whether a systemd of this machine's own is there to arm the layers."""
    return not shared() and "GPU_BOX_WATCH" not in os.environ and os.path.isdir("/run/systemd/system")


def runs(place: Place) -> bool:
    """Whether the watcher that wrote its number here still is a process."""
    return bool(running(place)[0])


def running(place: Place) -> Tuple[int, str]:
    """The watcher's process and the code that it runs (as `code` gives it); 0 where there is none."""
    try:
        with open(place.pid, encoding="ascii") as file:
            pid, _, version = file.read().strip().partition(" ")
        with open("/proc/%d/cmdline" % int(pid), "rb") as file:
            return (int(pid), version) if b"watch\0run" in file.read() else (0, "")
    except (OSError, ValueError):
        return 0, ""


def code() -> str:
    """What tells this version of the folder from another."""
    here, total = os.path.dirname(os.path.abspath(__file__)), 0
    for folder, _, names in sorted(os.walk(here)):
        for name in sorted(names):
            if name.endswith(".py"):
                with open(os.path.join(folder, name), "rb") as file:
                    total = zlib.crc32(file.read(), total)
    return "%08x" % total


def keeps(place: Place, people: List[User]) -> List[Tuple[Optional[User], str]]:
    """Where a `keep` may lie, and in whose folder: a user who is not root writes it into the own home."""
    return [(None, place.keep)] + [(user, of_user(user.home).keep) for user in people]


def write(path: str, text: str) -> None:
    """Replace a file whole, so that a reader sees the old text or the new one."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)
