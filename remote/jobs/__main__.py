"""The commands for the laptop and the watcher. `start` reads its arguments as JSON from standard input."""

import json
import sys
from typing import List

from jobs import job as jobs
from jobs.describe import describe
from jobs.follow import follow
from jobs.interrupt import at_risk, interrupt, resume
from jobs.start import advance, start
from jobs.stop import cancel, end
from jobs.supervise import supervise

_USAGE = "usage: python3 -m jobs start|list|follow|show|cancel|advance|interrupt|risk|end|resume"
_NOTHING_DUE = 1  # exit status of `advance`, as systemd keeps a unit that has started something
_REFUSED = 3  # exit status; the reason is on standard error


def main(arguments: List[str]) -> int:
    command, rest = arguments[0], arguments[1:]
    if command == "start":
        print(json.dumps(start(**json.load(sys.stdin))))
    elif command == "advance":
        return 0 if advance() else _NOTHING_DUE
    elif command == "interrupt":
        interrupt(float(rest[0]))
    elif command == "risk":
        at_risk(float(rest[0]))
    elif command == "end":
        end(float(rest[0]))
    elif command == "resume":
        print(json.dumps(resume(float(rest[0]))))
    elif command == "list":
        print(json.dumps(describe(gpus="gpus" in rest)))
    elif command == "follow":
        follow(jobs.existing(rest[0]), int(rest[1]))
    elif command == "show":
        follow(jobs.existing(rest[0]), 0, once=True)
    elif command == "cancel":
        print(json.dumps(cancel(jobs.existing(rest[0]))))
    elif command == "supervise":
        return supervise(rest[0])
    else:
        raise jobs.Refused(_USAGE)
    return 0


try:
    sys.exit(main(sys.argv[1:] or [""]))
except jobs.Refused as refusal:
    print(refusal, file=sys.stderr)
    sys.exit(_REFUSED)
except (BrokenPipeError, KeyboardInterrupt):
    sys.exit(1)
