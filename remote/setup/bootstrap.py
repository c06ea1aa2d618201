"""Checks a box over SSH before any code is on it: `python3 -` reads a line `ASKED = "..."`, then this.

Prints one JSON object: the result of `setup.check.look` of the box's copy, and that copy's fingerprint. With
"health" also the disk's usage and nvidia-smi's output (which takes up to 2 s).
"""

import glob
import json
import os
import shutil
import subprocess
import sys

TOOL_TIMEOUT_S = 30


class Card:
    """Runs nvidia-smi in parallel with the other checks."""

    def __init__(self):
        self.process = None
        if shutil.which("nvidia-smi"):
            self.process = subprocess.Popen(
                ["nvidia-smi"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )

    def answer(self):
        kernel = os.uname().release
        found = {"kernel": kernel, "module": False, "exit": None, "said": ""}
        # Built by DKMS or packaged, compressed or not.
        found["module"] = bool(glob.glob("/lib/modules/%s/**/nvidia.ko*" % kernel, recursive=True))
        if self.process:
            try:
                said, _ = self.process.communicate(timeout=TOOL_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                said, _ = self.process.communicate()
            found["exit"], found["said"] = self.process.returncode, said.decode("utf-8", "replace")[:1000]
        return found


def disk():
    space = os.statvfs(os.path.expanduser("~"))
    return {
        "size": space.f_blocks * space.f_frsize,
        "free": space.f_bavail * space.f_frsize,
        "files": space.f_files,
        "files_free": space.f_favail,
    }


def read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def main() -> None:
    asked = json.loads(ASKED)  # noqa: F821
    mirror = os.path.join(os.path.expanduser("~"), ".gpu-box", "remote")
    there = read(os.path.join(mirror, ".fingerprint"))
    card = Card() if asked.get("health") else None
    found = {}
    if there:
        # An older copy can answer most of it; if it fails, the laptop sends the new one.
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
    if card:
        found["health"] = {"disk": disk(), "card": card.answer()}
    print(json.dumps(found))


main()
