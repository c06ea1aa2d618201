"""AWS takes a spot machine back: people and jobs are told, and the machine is off before AWS does it.

Off by itself, because of what comes after. What AWS stopped, AWS starts again by itself as soon as it has the
capacity, and nobody asked for that; what was shut down from inside stays off until its owner starts it (EC2
User Guide, "Behavior of Spot Instance interruptions"; request status `instance-stopped-by-user`).
"""

import os
import time
from typing import List

from .read.command import run
from .read.people import User
from .read.spot import Notice
from .signals import spell

REASON = "interrupted by AWS: spot capacity was needed"
AHEAD = 20.0  # s before AWS's own stop: what an orderly shutdown takes, and a little
MOST_AHEAD = 0.25  # of the time that the notice leaves, where it is a short one


def seconds_left(notice: Notice, wall: float) -> float:
    """From now (wall: Unix time) until this machine shuts itself down."""
    left = max(0.0, notice.at - wall)
    return left - min(AHEAD, left * MOST_AHEAD)


def message(seconds: float) -> str:
    return (
        "AWS takes this spot machine back: it stops in %s, and its disk stays. Jobs are told to save "
        "(SIGTERM); gpu-box up goes on with them" % spell(seconds)
    )


def tell_jobs(users: List[User]) -> List[str]:
    """SIGTERM to every job of theirs, and a mark that it is to go on with the next `up`. What went wrong.

    By the jobs' own code and as their own user: it writes into that user's home.
    """
    problems = []
    for user in users:
        remote = os.path.join(user.home, ".gpu-box", "remote")
        if not os.path.isdir(os.path.join(user.home, ".gpu-box", "jobs")):
            continue
        words = ["sh", "-c", 'cd "$1" && exec python3 -s -m jobs interrupt "$2"', "sh", remote]
        words.append("%.0f" % time.time())
        if os.geteuid() == 0 and user.uid != 0:
            words = ["runuser", "-u", user.name, "--", "env", "HOME=" + user.home] + words
        try:
            run(words, seconds=10.0)
        except OSError as error:
            problems.append("the jobs of %s were not told: %s" % (user.name, error))
    return problems
