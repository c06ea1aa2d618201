"""Installs distribution packages: one apt call at a time, each waiting for apt's locks.

Ubuntu updates itself at first boot (apt-daily). DPkg::Lock::Timeout covers only dpkg's lock; if the lists or
archives are locked, apt fails at once, so we retry.
"""

import os
import re
import shutil
import threading
import time

from setup.root import as_root
from setup.session import Failed, Session

LOCKED_S = 600.0  # s to wait for a lock
_LOOK_AGAIN_S = 2.0
_TURN = threading.RLock()  # steps run in parallel
_LOCKED = re.compile("Could not get lock|locked by another process")  # messages of apt and dpkg
_ENV = ["DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l", "LC_ALL=C.UTF-8"]  # English messages
_INTERRUPTED = "dpkg --configure -a"  # "dpkg was interrupted, you must manually run 'dpkg --configure -a'"


def usable() -> bool:
    """Whether distribution packages can be installed here.

    Never on a machine that is a process (GPU_BOX_SSHD_DIR is set): it shares its system with the laptop.
    """
    return (
        "GPU_BOX_SSHD_DIR" not in os.environ and shutil.which("apt-get") is not None and as_root() is not None
    )


def install(session: Session, *packages: str) -> None:
    """Install the archive's newest versions; NAME=VERSION for another. Raises Failed."""
    with _TURN:
        run(session, "apt-get", "-y", "-q", "update", timeout_s=900)
        run(session, "apt-get", "-y", "-q", "install", "--no-install-recommends", *packages)


def run(session: Session, *command: str, timeout_s: float = 3600) -> str:
    """Run a program that uses apt or dpkg, as root. Returns its output. Raises Failed.

    timeout_s: for each try.
    """
    with _TURN:
        prefix = [*(as_root() or []), "env", *_ENV]
        give_up = time.monotonic() + LOCKED_S
        repaired = False
        while True:
            try:
                return session.run([*prefix, *command], timeout_s=timeout_s)
            except Failed as problem:
                said = str(problem)
                if _LOCKED.search(said) and time.monotonic() < give_up:
                    session.say("waiting for another program that installs packages")
                    time.sleep(_LOOK_AGAIN_S)
                elif _INTERRUPTED in said and not repaired:
                    session.say("finishing an installation that was interrupted")
                    session.run([*prefix, "dpkg", "--configure", "-a"])
                    repaired = True
                else:
                    raise
