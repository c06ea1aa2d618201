"""Kaggle's credentials, if the user put them on the box: for their eyes alone. None are copied by us."""

import stat
from pathlib import Path

from setup.desired import HOME, Desired
from setup.session import Session
from setup.step import State, Step, done, needed

_CREDENTIALS: Path = HOME / ".kaggle" / "kaggle.json"


def check(desired: Desired) -> State:
    asked = any(package.split("=")[0].strip() == "kaggle" for package in desired.packages)
    if not _CREDENTIALS.exists():
        return done("~/.kaggle/kaggle.json is yet to be put there" if asked else "not asked for")
    if stat.S_IMODE(_CREDENTIALS.stat().st_mode) & 0o077:
        return needed("~/.kaggle/kaggle.json can be read by others")
    return done("~/.kaggle/kaggle.json is private")


def apply(desired: Desired, session: Session) -> State:
    _CREDENTIALS.chmod(0o600)
    return done("~/.kaggle/kaggle.json made private")


STEP = Step("kaggle", check, apply)
