"""Keeps ~/.gpu-box/env.sh, which the laptop sends, private, and removes it if it is no longer wanted."""

import stat

from setup import variables
from setup.desired import Desired
from setup.session import Failed, Session
from setup.step import NOT_ASKED_FOR, State, Step, done, needed

_TO_COME = needed("environment variables have not arrived from the laptop")


def check(desired: Desired) -> State:
    there = variables.FILE.exists()
    if desired.env == "":
        left = there or variables.NEW.exists()
        return needed("environment variables are no longer wanted") if left else NOT_ASKED_FOR
    if desired.env is not None and variables.digest() != desired.env:
        return _TO_COME
    if not there:
        return NOT_ASKED_FOR
    if stat.S_IMODE(variables.FILE.stat().st_mode) & 0o077:
        return needed("other users can read the environment variables")
    count = len(variables.values())
    return done("%d environment variable%s set" % (count, "" if count == 1 else "s"))


def apply(desired: Desired, session: Session) -> State:
    if variables.NEW.exists():
        variables.NEW.unlink()
    if desired.env == "":
        if variables.FILE.exists():
            variables.FILE.unlink()
    elif check(desired) == _TO_COME:
        raise Failed("~/.gpu-box/env.sh did not arrive from the laptop")
    else:
        variables.FILE.chmod(0o600)
    return check(desired)


STEP = Step("env", check, apply)
