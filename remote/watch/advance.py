"""Starts the next jobs of a queue, as the user whose queue it is."""

import contextlib
import os
from typing import List

from .place import systemd
from .read.command import run, start
from .read.people import User

SCRIPT = 'cd "$1" && exec python3 -s -m jobs advance'


def advance_jobs(users: List[User]) -> None:
    for user in users:
        words = ["sh", "-c", SCRIPT, "sh", os.path.join(user.home, ".gpu-box", "remote")]
        with contextlib.suppress(OSError, ValueError):  # tried again
            if systemd() and os.geteuid() == 0:
                # In a unit of its own: what the watcher starts ends when its service restarts. The unit
                # lasts as long as the machine, so that a shutdown ends its jobs as it ends all services.
                options = ["--quiet", "--no-block", "--collect", "--service-type=oneshot"]
                options += ["--remain-after-exit", "--property=TasksMax=infinity"]
                options += ["--uid=%d" % user.uid, "--gid=%d" % user.gid]
                run(["systemd-run", *options, "--setenv=LC_ALL=C.UTF-8", *words], seconds=10.0, always=True)
            else:
                start(words, user=user)
