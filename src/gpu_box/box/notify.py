"""Notices on this laptop, where the config asks for them: its desktop's own, a command of the user's.

The box tells a webhook by itself, laptop or not (remote/watch/notices.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from gpu_box.config.model import Config, Notify
from gpu_box.model.results import StatusView
from gpu_box.model.watch import Look
from gpu_box.plan.budget import MARKS
from gpu_box.units import format_money

_PATIENCE_S = 10.0
_PAUSES_S = (1.0, 3.0)  # before it is tried again: a network that is just coming back
# The words come as arguments: no quoting of them can go wrong.
_MACOS = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"


def tell(notify: Notify, event: str, title: str, text: str) -> str:
    """What went wrong, as one line for the user; "" for nothing. event: as in remote/watch/webhook.py."""
    problems = []
    if notify.desktop:
        problems.append(_again(_desktop(title, text), "the desktop notice"))
    if notify.command:
        told = {"GPU_BOX_EVENT": event, "GPU_BOX_TITLE": title, "GPU_BOX_TEXT": text}
        problems.append(_again(["/bin/sh", "-c", notify.command], "notify.command", told))
    return "; ".join(problem for problem in problems if problem)


def _desktop(title: str, text: str) -> list[str]:
    if sys.platform == "darwin":
        return ["osascript", "-e", _MACOS, title, text]
    return ["notify-send", "--app-name=gpu-box", "--", title, text]


def _again(words: list[str], what: str, told: dict[str, str] | None = None) -> str:
    """Until it is done, a few times. Returns what went wrong with it the last time, or ""."""
    problem = _run(words, what, told)
    for pause_s in _PAUSES_S:
        if not problem or not shutil.which(words[0]):
            break
        time.sleep(pause_s)
        problem = _run(words, what, told)
    return problem


def _run(words: list[str], what: str, told: dict[str, str] | None = None) -> str:
    if not shutil.which(words[0]):
        return f"{what} needs {words[0]}, which is not here"
    try:
        ended = subprocess.run(
            words,
            env={**os.environ, **(told or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        return f"{what} does not end: given up after {_PATIENCE_S:.0f} s"
    if ended.returncode == 0:
        return ""
    last = (ended.stderr.strip().splitlines() or ["it says nothing"])[-1]
    return f"{what} failed with exit status {ended.returncode}: {last}"


_SOON = timedelta(minutes=10)  # as the watcher warns on the box


class Herald:
    def __init__(self, config: Config, complain: Callable[[str], None], *, but: str = "") -> None:
        """complain: hears of a notice that could not be given. but: a job that is not to be told of."""
        self._config, self._complain, self._but = config, complain, but
        self._ends: list[datetime] = []  # those that were told
        self._spent: Decimal | None = None  # per cent of the budget, when it was looked at last
        self._jobs: set[str] = set()
        self._ran = False

    def found(self, status: StatusView) -> None:
        """AWS has been asked, and it runs."""
        self._ran = True
        limit = self._config.limits.budget
        if not limit or status.usd_month is None:
            return
        before, self._spent = self._spent, 100 * status.usd_month / limit
        passed = [mark for mark in MARKS if before is not None and before < mark <= self._spent]
        if passed:
            of = f"{format_money(status.usd_month)} of {format_money(limit)}"
            self._tell("budget", "budget", f"{passed[-1]} % of this month's budget is spent: {of}")

    def looked(self, look: Look, deadline: datetime | None) -> None:
        """The machine has been asked."""
        at = look.stops_at(deadline)
        if at and at - look.at <= _SOON and not any(abs(at - one) < _SOON for one in self._ends):
            self._ends.append(at)
            self._tell("stopping", "stops soon", f"It stops at {at.astimezone():%H:%M}: {look.watch.reason}")
        jobs = {task.name for task in look.tasks if task.kind == "job"}
        for job in sorted(self._jobs - jobs - {self._but}):
            self._tell("job", "job ended", f"{job} has ended: `gpu-box logs {job}` tells how")
        self._jobs = jobs

    def ended(self, status: StatusView) -> None:
        """It runs no more."""
        if not self._ran:
            return
        self._ran = False
        stopped = status.stopped
        self._tell("stopped", "stopped", stopped.reason if stopped else "why is not known")

    def _tell(self, event: str, title: str, text: str) -> None:
        problem = tell(self._config.notify, event, f"{self._config.name}: {title}", text)
        if problem:
            self._complain(problem)
