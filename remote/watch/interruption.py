"""Spot interruption: warns users and jobs, and stops the machine before AWS does.

AWS restarts an instance that it stopped itself as soon as it has capacity, without asking. An instance that
shuts down from inside stays off until its owner starts it (EC2 User Guide, "Behavior of Spot Instance
interruptions"; request status `instance-stopped-by-user`).
"""

import os
import time
from typing import List

from .read.as_user import acting_as
from .read.command import finish, start
from .read.people import User
from .read.scratch import warning as scratch_warning
from .read.spot import Notice
from .signals import spell

REASON = "interrupted by AWS: spot capacity was needed"
AHEAD = 20.0  # s before AWS's stop at which to shut down: an orderly shutdown takes a little less
WITHIN = 10.0  # s for the jobs to be signalled
MOST_AHEAD = 0.25  # upper bound of AHEAD, as a fraction of the time left
ORDERLY = 0.5  # fraction of the time between our shutdown and AWS's after which ours is forced
LEAST_ORDERLY = 3.0  # s, lower bound of that


def seconds_left(notice: Notice, wall: float) -> float:
    """Seconds from `wall` (Unix time) until this machine shuts itself down."""
    left = max(0.0, notice.at - wall)
    return left - min(AHEAD, left * MOST_AHEAD)


def message(seconds: float) -> str:
    return (
        "AWS reclaims this spot machine: it stops in %s, and its disk stays. Jobs get SIGTERM to save; "
        "gpu-box up resumes them%s" % (spell(seconds), scratch_warning())
    )


def forced_after(notice: Notice, wall: float) -> float:
    """Seconds after the start of our shutdown at which to force it, so that it ends before AWS's stop."""
    return max(LEAST_ORDERLY, (max(0.0, notice.at - wall) - seconds_left(notice, wall)) * ORDERLY)


def interrupt_jobs(users: List[User]) -> List[str]:
    """Send SIGTERM to these users' jobs and mark them to resume at the next `up`. Returns the problems."""
    return ask_jobs(users, ["interrupt", "%.0f" % time.time()], within=WITHIN)


def warn_jobs(users: List[User], at: float) -> List[str]:
    """Let every job save and continue: AWS sees a higher risk (at: Unix time). Returns the problems."""
    return ask_jobs(users, ["risk", "%.0f" % at], within=WITHIN)


def ask_jobs(users: List[User], words: List[str], *, within: float) -> List[str]:
    """Run `python3 -m jobs WORDS` for each user who has jobs. Returns the problems.

    Runs each user's copy of the code as that user, because it writes into the home directory, and all users
    at the same time.
    """
    problems, names = [], {}
    for user in users:
        try:
            with acting_as(user):
                if not os.path.isdir(os.path.join(user.home, ".gpu-box", "jobs")):
                    continue
            remote = os.path.join(user.home, ".gpu-box", "remote")
            script = 'cd "$1" && shift && exec python3 -s -m jobs "$@"'
            names[start(["sh", "-c", script, "sh", remote, *words], user=user)] = user.name
        except (OSError, ValueError) as error:
            problems.append("the jobs of %s got no signal: %s" % (user.name, error))
    for pid, status in finish(list(names), within).items():
        if status != 0:
            how = "no answer" if status is None else "status %d" % (status >> 8 or status)
            problems.append("the jobs of %s got no signal: %s" % (names[pid], how))
    return problems
