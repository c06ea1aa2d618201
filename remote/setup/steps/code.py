"""Makes ~/work and copies the lesson's notebook into it. An edited notebook is never replaced."""

import hashlib
import shutil
from pathlib import Path
from typing import List

from setup import records
from setup.desired import REMOTE, WORK, Desired, fingerprint
from setup.session import Session
from setup.step import State, Step, done, needed

_FOLDERS = ("data", "results", "notebooks")


def check(desired: Desired) -> State:
    missing = [name for name in _FOLDERS if not (WORK / name).is_dir()]
    if missing or _to_copy():
        return needed("~/work lacks " + ", ".join(missing or [ours.name for ours in _to_copy()]))
    return done("~/work is ready")


def apply(desired: Desired, session: Session) -> State:
    for name in _FOLDERS:
        (WORK / name).mkdir(parents=True, exist_ok=True)
    for ours in _to_copy():
        theirs = WORK / "notebooks" / ours.name
        session.say("copying " + ours.name)
        temporary = theirs.with_name("." + ours.name + ".new")
        shutil.copyfile(str(ours), str(temporary))
        # Record first: a copy without a record counts as edited.
        records.write("notebook-" + ours.name, _digest(ours), "")
        temporary.replace(theirs)
    return done("~/work is ready")


def _to_copy() -> List[Path]:
    """Our notebooks that are missing, or present as an unedited older copy."""
    return [ours for ours in sorted((REMOTE / "notebooks").glob("*.ipynb")) if _is_stale(ours)]


def _is_stale(ours: Path) -> bool:
    theirs = WORK / "notebooks" / ours.name
    if not theirs.exists():
        return True
    record = records.read("notebook-" + ours.name)
    copied = record["fingerprint"] if record else None
    return _digest(theirs) == copied != _digest(ours)


def _digest(path: Path) -> str:
    return fingerprint(hashlib.sha256(path.read_bytes()).hexdigest())


STEP = Step("code", check, apply)
