"""Installs tmux, which shows jobs and Jupyter. Without it they run detached."""

import shutil

from setup import apt
from setup.desired import Desired
from setup.session import Session
from setup.step import State, Step, done, needed, unavailable


def check(desired: Desired) -> State:
    if shutil.which("tmux"):
        return done("tmux is installed")
    if apt.usable():
        return needed("tmux is not installed")
    return unavailable("tmux is missing and cannot be installed without sudo: jobs run without a window")


def apply(desired: Desired, session: Session) -> State:
    apt.install(session, "tmux")
    return done("tmux installed")


STEP = Step("tmux", check, apply)
