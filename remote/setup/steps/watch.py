"""Installs the idle watcher (remote/watch) and waits for its first report."""

import hashlib
import json
import os
import sys
import time

from setup import records, watcher
from setup.desired import REMOTE, Desired, fingerprint
from setup.session import Failed, Session
from setup.step import State, Step, done, needed, unavailable

_REPORTS_WITHIN_S = 30.0


def check(desired: Desired) -> State:
    return look(desired, watcher.StatusQuery())


def look(desired: Desired, asked: watcher.StatusQuery) -> State:
    """The check, with a query started earlier."""
    if not (watcher.PACKAGE / "__main__.py").exists():
        return unavailable("this version has no watcher: the other layers of the stop guarantee apply")
    if not os.path.isdir("/proc/self"):
        return unavailable(
            "this machine is a process on a computer without /proc, such as a Mac: nothing bills here"
        )
    record = records.read("watch")
    if record is None or record["fingerprint"] != _fingerprint(desired):
        return needed("the watcher is not armed")
    if not watcher.is_armed(asked.answer()):
        return needed("the watcher does not report")
    return done(record["line"])


def apply(desired: Desired, session: Session) -> State:
    policy = dict(desired.policy)
    if watcher.shares_its_host():
        # It may stop only this machine, not the host.
        policy["stop_command"] = os.environ.get("GPU_BOX_POWEROFF", "true")
    said = session.run(
        [sys.executable, "-m", "watch", "install", json.dumps(policy)], cwd=REMOTE, timeout_s=300
    )
    session.say("waiting for the watcher's first report")
    deadline = time.monotonic() + _REPORTS_WITHIN_S
    while not watcher.is_armed(watcher.StatusQuery().answer()):
        if time.monotonic() > deadline:
            raise Failed("the watcher was started and does not report\n" + said)
        time.sleep(0.2)
    line = "; ".join(said.split("\n"))
    records.write("watch", _fingerprint(desired), line)
    return done(line)


def _fingerprint(desired: Desired) -> str:
    files = [
        path for path in watcher.PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    code = [
        (str(path.relative_to(watcher.PACKAGE)), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(files)
    ]
    return fingerprint(code, desired.policy)


STEP = Step("watch", check, apply)
