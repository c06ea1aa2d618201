"""Keeps ~/.gpu-box/notify.json, which the laptop sends, private, and removes it if it is no longer wanted."""

import hashlib
import stat
from pathlib import Path

from setup.desired import ROOT, Desired
from setup.session import Failed, Session
from setup.step import NOT_ASKED_FOR, State, Step, done, needed

_FILE: Path = ROOT / "notify.json"


def check(desired: Desired) -> State:
    there = _FILE.exists()
    if not desired.notify:
        return needed("notices are no longer asked for") if there else NOT_ASKED_FOR
    if not there or hashlib.sha256(_FILE.read_bytes()).hexdigest() != desired.notify:
        return needed("the webhook has not arrived from the laptop")
    if stat.S_IMODE(_FILE.stat().st_mode) & 0o077:
        return needed("other users can read the webhook")
    return done("notices go to your webhook")


def apply(desired: Desired, session: Session) -> State:
    if not desired.notify:
        _FILE.unlink()
    elif check(desired) == needed("the webhook has not arrived from the laptop"):
        raise Failed("~/.gpu-box/notify.json did not arrive from the laptop")
    else:
        _FILE.chmod(0o600)
    return check(desired)


STEP = Step("notify", check, apply)
