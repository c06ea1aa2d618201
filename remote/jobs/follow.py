"""A job's log from a byte on, to standard output; when the job ends, how, to standard error."""

import json
import os
import select
import sys

from jobs.job import Job, Refused

_LOOK_MS = 100


def follow(job: Job, offset: int) -> None:
    """offset: how much of the log the laptop has already. Ends early when nobody listens any more."""
    if not job.log.is_file():
        raise Refused("job %s has no log" % job.name)
    out = sys.stdout.fileno()
    listener = select.poll()
    listener.register(out, 0)  # tells only that the other end is gone
    parent = os.getppid()
    with job.log.open("rb") as log:
        log.seek(offset)
        while True:
            ended = job.exit_status()  # asked before the last read: nothing written in between is lost
            piece = log.read(65536)
            while piece:
                piece = piece[os.write(out, piece) :] or log.read(65536)
            if ended is not None:
                print(json.dumps({"exit": ended}), file=sys.stderr)
                return
            if listener.poll(_LOOK_MS) or os.getppid() != parent:
                return
