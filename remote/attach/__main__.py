"""The commands for the laptop.

listeners       this user's servers on the loopback address, as a JSON line at each change
editor [NAME]   the folder and the Python that an editor opens, as JSON
"""

import json
import sys
from typing import List

from attach import editor, listeners

_REFUSED = 3  # exit status; the reason is on standard error


def main(arguments: List[str]) -> int:
    command, rest = (arguments or [""])[0], arguments[1:]
    if command == "listeners":
        listeners.show()
    elif command == "editor":
        print(json.dumps(editor.describe(rest[0] if rest else "")))
    else:
        print("usage: python3 -m attach listeners|editor [NAME]", file=sys.stderr)
        return _REFUSED
    return 0


try:
    sys.exit(main(sys.argv[1:]))
except (BrokenPipeError, KeyboardInterrupt):
    sys.exit(1)
