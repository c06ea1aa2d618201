"""Checks that Kaggle's credentials have arrived if requested, and makes them private."""

import hashlib
import stat
from pathlib import Path
from typing import List

from setup.desired import HOME, Desired
from setup.session import Failed, Session
from setup.step import NOT_ASKED_FOR, State, Step, done, needed

_FOLDER: Path = HOME / ".kaggle"
_FILES = ("kaggle.json", "access_token")


def check(desired: Desired) -> State:
    if lacking := _lacking(desired):
        return needed("~/.kaggle/%s has not arrived from the laptop" % lacking[0])
    if open_ := _readable_by_others():
        return needed("other users can read %s" % open_[0])
    found = [name for name in _FILES if (_FOLDER / name).exists()]
    return done("~/.kaggle/%s is private" % found[0]) if found else NOT_ASKED_FOR


def apply(desired: Desired, session: Session) -> State:
    for path in _readable_by_others():
        path.chmod(0o600)
    if lacking := _lacking(desired):
        raise Failed("~/.kaggle/%s did not arrive from the laptop" % lacking[0])
    return check(desired)


def _lacking(desired: Desired) -> List[str]:
    return [name for name, digest in desired.kaggle if _digest(_FOLDER / name) != digest]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def _readable_by_others() -> List[Path]:
    paths = [_FOLDER / name for name in _FILES]
    return [path for path in paths if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]


STEP = Step("kaggle", check, apply)
