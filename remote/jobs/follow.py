"""Writes a job's log from a byte offset to standard output, then its exit status to standard error."""

import json
import os
import select
import sys

from jobs.job import Job, Refused
from jobs.log import read

_LOOK_MS = 100


def follow(job: Job, offset: int, *, once: bool = False) -> None:
    """Follow the log from byte `offset` until the job ends or the reader is gone. once: print what there is.

    Raises Refused if the job has no log.
    """
    if not job.log.is_file():
        raise Refused("job %s has no log" % job.name)
    out = sys.stdout.fileno()
    listener = select.poll()
    listener.register(out, 0)  # reports only that the other end is closed
    parent = os.getppid()
    with job.log.open("rb") as log:
        while True:
            ended = job.exit_status()  # before the last read, so that no output is lost
            piece, offset = read(job, log.fileno(), offset)
            while piece:
                piece = piece[os.write(out, piece) :]
                if not piece:
                    piece, offset = read(job, log.fileno(), offset)
            if once or ended is not None:
                print(json.dumps({"exit": ended}), file=sys.stderr)
                return
            if listener.poll(_LOOK_MS) or os.getppid() != parent:
                return
