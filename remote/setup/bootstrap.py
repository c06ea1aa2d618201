"""Sent over SSH to a box that may have nothing yet: `python3 - '{"fingerprint": ..., "desired": ...}'`.

Prints one JSON object: what `setup.check.look` of the box's own copy finds, and which copy that is.
"""

import json
import os
import shutil
import sys


def read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def main() -> None:
    asked = json.loads(sys.argv[1])
    mirror = os.path.join(os.path.expanduser("~"), ".gpu-box", "remote")
    there = read(os.path.join(mirror, ".fingerprint"))
    found = {"disk_free": shutil.disk_usage(os.path.expanduser("~")).free}
    if there:
        # An older copy can still tell most of it; if it cannot, the laptop brings the new one anyway.
        try:
            sys.path.insert(0, mirror)
            os.environ["PYTHONPATH"] = ""
            from setup.check import look
            from setup.desired import Desired

            found = look(Desired.from_json(json.dumps(asked["desired"])))
        except Exception as problem:
            if there == asked["fingerprint"]:
                raise
            found["problem"] = str(problem)
    found["mirror"] = there
    found["project"] = read(os.path.join(os.path.expanduser("~"), ".gpu-box", "project"))
    print(json.dumps(found))


main()
