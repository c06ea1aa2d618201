"""AWS takes a spot machine back: people and jobs are told, and the machine is off before AWS does it.

Off by itself, because of what comes after. What AWS stopped, AWS starts again by itself as soon as it has the
capacity, and nobody asked for that; what was shut down from inside stays off until its owner starts it (EC2
User Guide, "Behavior of Spot Instance interruptions"; request status `instance-stopped-by-user`).
"""

import os
import time
from typing import List

from .read.as_user import acting_as
from .read.command import finish, start
from .read.people import User
from .read.spot import Notice
from .signals import spell

REASON = "interrupted by AWS: spot capacity was needed"
AHEAD = 20.0  # s before AWS's own stop: what an orderly shutdown takes, and a little
WITHIN = 10.0  # s for the jobs to be signalled
MOST_AHEAD = 0.25  # of the time that the notice leaves, where it is a short one
ORDERLY = 0.5  # of the time between our own shutdown and AWS's; after it the shutdown is forced
LEAST_ORDERLY = 3.0  # s, where AWS has given no time


def seconds_left(notice: Notice, wall: float) -> float:
    """From now (wall: Unix time) until this machine shuts itself down."""
    left = max(0.0, notice.at - wall)
    return left - min(AHEAD, left * MOST_AHEAD)


def message(seconds: float) -> str:
    return (
        "AWS takes this spot machine back: it stops in %s, and its disk stays. Jobs are told to save "
        "(SIGTERM); gpu-box up goes on with them" % spell(seconds)
    )


def forced_after(notice: Notice, wall: float) -> float:
    """Seconds after our own shutdown began, at which to force it: in time before AWS's."""
    return max(LEAST_ORDERLY, (max(0.0, notice.at - wall) - seconds_left(notice, wall)) * ORDERLY)


def tell_jobs(users: List[User]) -> List[str]:
    """SIGTERM to every job of theirs, and a mark that it is to go on with the next `up`. What went wrong."""
    return ask_jobs(users, ["interrupt", "%.0f" % time.time()], within=WITHIN)


def ask_jobs(users: List[User], words: List[str], *, within: float) -> List[str]:
    """Run `python3 -m jobs WORDS` for each user who has jobs. Returns what went wrong.

    By the jobs' own code and as their own user: it writes into that user's home. All users at once: none
    waits for another's.
    """
    problems, told = [], {}
    for user in users:
        try:
            with acting_as(user):
                if not os.path.isdir(os.path.join(user.home, ".gpu-box", "jobs")):
                    continue
            remote = os.path.join(user.home, ".gpu-box", "remote")
            script = 'cd "$1" && shift && exec python3 -s -m jobs "$@"'
            told[start(["sh", "-c", script, "sh", remote, *words], user=user)] = user.name
        except (OSError, ValueError) as error:
            problems.append("the jobs of %s were not told: %s" % (user.name, error))
    for pid, status in finish(list(told), within).items():
        if status != 0:
            how = "no answer" if status is None else "status %d" % (status >> 8 or status)
            problems.append("the jobs of %s were not told: %s" % (told[pid], how))
    return problems
