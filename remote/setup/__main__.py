"""`python3 -m setup apply` with what is desired as JSON on standard input; events come out, a JSON line each.

It goes on when the connection is cut: the next `up` waits for it, and finds the steps done.
"""

import json
import signal
import sys

from setup.apply import apply
from setup.check import look
from setup.desired import Desired
from setup.session import Failed, tell


def main() -> int:
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in ("apply", "check"):
        print("usage: python3 -m setup apply|check < desired.json", file=sys.stderr)
        return 2
    desired = Desired.from_json(sys.stdin.read())
    if command == "check":
        print(json.dumps(look(desired)))
        return 0
    # A handler, not SIG_IGN: what we start must not inherit it.
    signal.signal(signal.SIGHUP, lambda number, frame: None)
    try:
        return 0 if apply(desired) else 1
    except Failed as problem:
        tell("setup", "failed", str(problem))
        return 1


sys.exit(main())
