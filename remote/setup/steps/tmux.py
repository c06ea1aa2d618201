"""tmux, in which jobs and Jupyter can be watched. Without it they run in sessions of their own."""

import shutil

from setup.desired import Desired
from setup.root import apt_install, can_apt
from setup.session import Session
from setup.step import State, Step, done, needed, unavailable


def check(desired: Desired) -> State:
    if shutil.which("tmux"):
        return done("tmux is here")
    if can_apt():
        return needed("tmux is not installed")
    return unavailable("no tmux, and no right to install it: jobs run without a window to attach to")


def apply(desired: Desired, session: Session) -> State:
    apt_install(session, "tmux")
    return done("tmux installed")


STEP = Step("tmux", check, apply)
