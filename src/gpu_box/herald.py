"""What this laptop tells of a box while one of its commands looks at it: each thing once.

The box tells its webhook by itself, laptop or not (remote/watch/notices.py).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from gpu_box import notices
from gpu_box.budget import MARKS
from gpu_box.config import Config
from gpu_box.look import Status
from gpu_box.machine.watchstate import Look
from gpu_box.units import format_money

_SOON = timedelta(minutes=10)  # as the watcher warns on the box


class Herald:
    def __init__(self, config: Config, complain: Callable[[str], None], *, but: str = "") -> None:
        """complain: hears of a notice that could not be given. but: a job that is not to be told of."""
        self._config, self._complain, self._but = config, complain, but
        self._ends: list[datetime] = []  # those that were told
        self._spent: Decimal | None = None  # per cent of the budget, when it was looked at last
        self._jobs: set[str] = set()
        self._ran = False

    def found(self, status: Status) -> None:
        """AWS has been asked, and it runs."""
        self._ran = True
        limit = self._config.limits.budget
        if not limit or not status.spent:
            return
        before, self._spent = self._spent, 100 * status.spent.month / limit
        passed = [mark for mark in MARKS if before is not None and before < mark <= self._spent]
        if passed:
            of = f"{format_money(status.spent.month)} of {format_money(limit)}"
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

    def ended(self, status: Status) -> None:
        """It runs no more."""
        if not self._ran:
            return
        self._ran = False
        stopped = status.stopped
        self._tell("stopped", "stopped", stopped.reason if stopped else "why is not known")

    def _tell(self, event: str, title: str, text: str) -> None:
        problem = notices.tell(self._config.notify, event, f"{self._config.name}: {title}", text)
        if problem:
            self._complain(problem)
