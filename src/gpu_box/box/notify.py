"""Notifications on this laptop, if configured: on its desktop, or by a command of the user's.

The box itself posts to a webhook, with or without the laptop (remote/watch/notices.py).
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
from gpu_box.model.watch import Reading
from gpu_box.plan.budget import MARKS
from gpu_box.units import format_money

_PATIENCE_S = 10.0
_PAUSES_S = (1.0, 3.0)  # between tries, for a network that is coming back
# The words are passed as arguments, so nothing needs quoting.
_MACOS = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"


def tell(notify: Notify, event: str, title: str, text: str) -> str:
    """Send a notification. Returns a problem as one line, or "". event: as in remote/watch/webhook.py."""
    problems = []
    if notify.desktop:
        problems.append(_again(_desktop(title, text), "the desktop notification"))
    if notify.command:
        variables = {"GPU_BOX_EVENT": event, "GPU_BOX_TITLE": title, "GPU_BOX_TEXT": text}
        problems.append(_again(["/bin/sh", "-c", notify.command], "notify.command", variables))
    return "; ".join(problem for problem in problems if problem)


def _desktop(title: str, text: str) -> list[str]:
    if sys.platform == "darwin":
        return ["osascript", "-e", _MACOS, title, text]
    return ["notify-send", "--app-name=gpu-box", "--", title, text]


def _again(words: list[str], what: str, variables: dict[str, str] | None = None) -> str:
    """Try a few times. Returns the last problem, or ""."""
    problem = _run(words, what, variables)
    for pause_s in _PAUSES_S:
        if not problem or not shutil.which(words[0]):
            break
        time.sleep(pause_s)
        problem = _run(words, what, variables)
    return problem


def _run(words: list[str], what: str, variables: dict[str, str] | None = None) -> str:
    if not shutil.which(words[0]):
        return f"{what} needs {words[0]}, which is not installed"
    try:
        ended = subprocess.run(
            words,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        return f"{what} did not end within {_PATIENCE_S:.0f} s"
    if ended.returncode == 0:
        return ""
    last = (ended.stderr.strip().splitlines() or ["no error message"])[-1]
    return f"{what} failed with exit status {ended.returncode}: {last}"


_SOON = timedelta(minutes=10)  # as the watcher warns on the box


class Notifier:
    """Notices changes of a box and sends a notification for each."""

    def __init__(self, config: Config, on_problem: Callable[[str], None], *, but: str = "") -> None:
        """on_problem: called if a notification fails. but: a job to leave out."""
        self._config, self._on_problem, self._but = config, on_problem, but
        self._ends: list[datetime] = []  # stops already announced
        self._spent: Decimal | None = None  # per cent of the budget at the last check
        self._jobs: set[str] = set()
        self._ran = False

    def on_status(self, status: StatusView) -> None:
        """A status of the running box from AWS."""
        self._ran = True
        limit = self._config.limits.budget
        if not limit or status.usd_month is None:
            return
        before, self._spent = self._spent, 100 * status.usd_month / limit
        passed = [mark for mark in MARKS if before is not None and before < mark <= self._spent]
        if passed:
            of = f"{format_money(status.usd_month)} of {format_money(limit)}"
            self._tell("budget", "budget", f"{passed[-1]} % of this month's budget is spent: {of}")

    def on_reading(self, reading: Reading, deadline: datetime | None) -> None:
        """A reading from the machine."""
        at = reading.stops_at(deadline)
        if at and at - reading.at <= _SOON and not any(abs(at - one) < _SOON for one in self._ends):
            self._ends.append(at)
            self._tell(
                "stopping", "stops soon", f"It stops at {at.astimezone():%H:%M}: {reading.watch.reason}"
            )
        jobs = {task.name for task in reading.tasks if task.kind == "job"}
        for job in sorted(self._jobs - jobs - {self._but}):
            self._tell("job", "job ended", f"{job} has ended: `gpu-box logs {job}` shows its log")
        self._jobs = jobs

    def on_end(self, status: StatusView) -> None:
        """The box is no longer running."""
        if not self._ran:
            return
        self._ran = False
        stopped = status.stopped
        self._tell("stopped", "stopped", stopped.reason if stopped else "reason unknown")

    def _tell(self, event: str, title: str, text: str) -> None:
        problem = tell(self._config.notify, event, f"{self._config.name}: {title}", text)
        if problem:
            self._on_problem(problem)
