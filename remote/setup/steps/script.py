"""The user's set-up commands (`setup:`), in ~/work: each runs once until it or its script changes."""

import json
import os
import shlex
import shutil
from pathlib import Path
from typing import List

from setup import records, variables
from setup.desired import WORK, Desired, fingerprint, python_environment
from setup.session import Failed, Session
from setup.step import NOT_ASKED_FOR, State, Step, done, needed

_TIMEOUT_S = 6 * 3600
_MOST_BYTES = 16 << 20


def check(desired: Desired) -> State:
    if not desired.setup:
        return NOT_ASKED_FOR
    finished = _finished()
    for command in desired.setup:
        if _fingerprint(command) not in finished:
            return needed("`%s` is to run" % command)
    return done("`%s` ran" % "`, `".join(desired.setup))


def apply(desired: Desired, session: Session) -> State:
    finished = _finished()
    for command in desired.setup:
        before = _fingerprint(command)
        if before in finished:
            continue
        finished = []  # what follows builds on it
        _refuse_unusable(command)
        session.say("running `%s`" % command)
        shell = shutil.which("bash") or "/bin/sh"
        env = {**variables.values(), **python_environment()}
        try:
            session.run([shell, "-c", command], env=env, cwd=WORK, timeout_s=_TIMEOUT_S)
        except Failed as problem:
            _, *lines = str(problem).splitlines()
            how = str(problem).partition("`: ")[2].splitlines()[0]
            raise Failed("\n".join(["`%s`: %s" % (command, how), *lines])) from None
        _remember(desired, command)
    return check(desired)


def _remember(desired: Desired, last: str) -> None:
    """Those up to `last` are done; a script may have changed itself while it ran."""
    until = desired.setup.index(last) + 1
    records.write("setup", json.dumps([_fingerprint(command) for command in desired.setup[:until]]), "")


def _finished() -> List[str]:
    try:
        record = records.read("setup")
        return list(json.loads(record["fingerprint"])) if record else []
    except (ValueError, KeyError):
        return []


def _fingerprint(command: str) -> str:
    script = _script(command)
    return fingerprint(command, script.read_bytes()[:_MOST_BYTES].hex() if script else "")


def _script(command: str) -> "Path | None":
    """The first of its words that is a file of the project."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    return next((WORK / word for word in words if word and (WORK / word).is_file()), None)


def _refuse_unusable(command: str) -> None:
    """Raises Failed for what bash would only call "Permission denied" or "bad interpreter"."""
    script = _script(command)
    if script is None:
        return
    name = script.relative_to(WORK) if WORK in script.parents else script
    if script.open("rb").readline().endswith(b"\r\n"):
        raise Failed("%s has Windows line ends: `sed -i 's/\\r$//' %s` on your laptop" % (name, name))
    if WORK / shlex.split(command)[0] == script and not os.access(str(script), os.X_OK):
        raise Failed(
            "%s is not executable: `chmod +x %s` on your laptop, or write `bash %s`" % (name, name, name)
        )


STEP = Step("setup", check, apply, after=lambda desired: ("environment",))
