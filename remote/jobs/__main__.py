"""The laptop's way in, and the watcher's. `start` reads its arguments as JSON from standard input."""

import json
import sys
from typing import List

from jobs import job as jobs
from jobs.follow import follow
from jobs.interrupt import interrupt, resume
from jobs.start import start
from jobs.stop import end, stop
from jobs.supervise import supervise

_REFUSED = 3  # exit status; the reason is on standard error


def main(arguments: List[str]) -> int:
    command, rest = arguments[0], arguments[1:]
    if command == "start":
        start(**json.load(sys.stdin))
    elif command == "interrupt":
        interrupt(float(rest[0]))
    elif command == "end":
        end(float(rest[0]))
    elif command == "resume":
        print(json.dumps(resume(float(rest[0]))))
    elif command == "list":
        print(json.dumps([job.describe() for job in jobs.every()]))
    elif command == "follow":
        follow(jobs.existing(rest[0]), int(rest[1]))
    elif command == "stop":
        print(stop(jobs.existing(rest[0])))
    elif command == "supervise":
        return supervise(rest[0])
    else:
        raise jobs.Refused(
            "usage: python3 -m jobs start|list|follow NAME OFFSET|stop NAME|interrupt T|end SECONDS|resume T"
        )
    return 0


try:
    sys.exit(main(sys.argv[1:] or [""]))
except jobs.Refused as refusal:
    print(refusal, file=sys.stderr)
    sys.exit(_REFUSED)
except (BrokenPipeError, KeyboardInterrupt):
    sys.exit(1)
