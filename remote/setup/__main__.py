"""`python3 -m setup apply|ahead|project` reads `Desired` as JSON from standard input, prints JSON lines.

apply sets the machine up; project does what follows the sync: packages of the project, its own commands.
ahead, beside apply, makes the environment of the project's lock, which needs none of those steps.

It continues after a lost connection; the next `up` follows it and finds the steps done. `python3 -m setup
reboot` reboots a machine whose driver needs that; it exits with 1 and the reason if it must not.
"""

import json
import signal
import sys

from setup import reboot, steps
from setup.apply import apply
from setup.check import look
from setup.desired import Desired
from setup.session import Failed, tell
from setup.steps import environment


def main() -> int:
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "reboot":
        return _reboot()
    if command not in ("apply", "ahead", "project", "check"):
        print(
            "usage: python3 -m setup apply|ahead|project|check < desired.json; python3 -m setup reboot",
            file=sys.stderr,
        )
        return 2
    desired = Desired.from_json(sys.stdin.read())
    if command == "check":
        print(json.dumps(look(desired)))
        return 0
    # A handler instead of SIG_IGN, which child processes would inherit.
    signal.signal(signal.SIGHUP, lambda number, frame: None)
    if command == "project" and desired.python != "none" and environment.other_tool():
        tell("environment", "note", environment.other_tool())
    try:
        if command == "ahead":
            return 0 if apply(desired, (environment.AHEAD,), "environment") else 1
        if command == "project":
            return 0 if apply(desired, steps.PROJECT, "setup", "environment") else 1
        return 0 if apply(desired, steps.ALL, "setup") else 1
    except Failed as problem:
        tell("setup", "failed", str(problem))
        return 1


def _reboot() -> int:
    try:
        reboot.begin()
    except Failed as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


sys.exit(main())
