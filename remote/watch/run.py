"""The watcher: sample, decide, write down, warn, beat, and stop; for as long as the machine is up."""

import contextlib
import json
import os
import signal
import sys
import time
from typing import Any, List, Optional, Tuple

from . import interruption, notices, stop
from . import place as places
from . import policy as policies
from .judge import State, Verdict, step, verdict
from .limits import use_zone
from .log import Log
from .place import Place
from .read.command import run
from .read.machine import Machine, boot_id
from .read.people import User, users
from .read.spot import Metadata
from .sample import Event, plain


class Ended(BaseException):
    """Told to end (SIGTERM): by a restart of the service, or by a shutdown of the machine.

    A BaseException, so that no `except Exception` swallows it.
    """


class Watcher:
    def __init__(self, place: Place) -> None:
        self._place = place
        os.makedirs(place.state, exist_ok=True)
        os.makedirs(place.run, exist_ok=True)
        self._log = Log(place.state)
        self._policy_stamp: Any = None
        self._policy = policies.Policy()
        self._complaints: List[str] = []
        self._load_policy()
        self._machine = Machine(self._policy, self._keeps)
        self._state = State()
        with contextlib.suppress(OSError):  # what cannot be read is forgotten, not a reason not to watch
            for sample in self._log.read():
                self._state = step(self._state, sample, self._policy)
        self._warned: Optional[float] = None  # the lead of the last warning given
        self._wall = time.time()  # of the last look at the marks of the budget
        self._failed = ""
        self._metadata = Metadata()
        self._off_at: Optional[float] = None  # monotonic: when to be off, once AWS has told that it comes
        self._forced = stop.FORCED  # s after which a shutdown is forced

    def run(self) -> None:
        """Until Ended. An exception ends the process: systemd starts it again, and the guard counts."""
        signal.signal(signal.SIGTERM, _end)
        try:
            _try(lambda: stop.reserve(self._place.stopped))
            self._machine.sample()  # something to compare the first real one with
            time.sleep(min(1.0, self._policy.interval))
            due = time.monotonic()
            while True:
                self.tick()
                due = max(due + self._policy.interval, time.monotonic() + 0.1)
                self._rest(due)
        except Ended:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # told once is enough
            self._say_goodbye()

    def _rest(self, due: float) -> None:
        """Until the next sample; on a spot machine, looking for AWS's notice meanwhile."""
        while True:
            left = due - time.monotonic()
            if left <= 0:
                return
            if not self._policy.notice:
                time.sleep(left)
            elif self._off_at is None:
                time.sleep(min(left, self._policy.notice))
                self._look_for_notice()
            else:
                time.sleep(min(left, max(0.05, self._off_at - time.monotonic())))
                if time.monotonic() >= self._off_at:
                    self._stop(verdict(self._state, self._policy))
                    self._off_at = time.monotonic() + self._policy.interval  # in vain: once more

    def _look_for_notice(self) -> None:
        try:
            notice = self._metadata.notice()
        except (OSError, ValueError):
            return  # it was not reached now; AWS has its own way
        sample = self._state.sample
        if notice is None or sample is None:
            return
        left = interruption.seconds_left(notice, time.time())
        self._off_at = time.monotonic() + left
        self._forced = interruption.forced_after(notice, time.time())
        now, text = verdict(self._state, self._policy), interruption.message(left)
        # Now, should AWS be quicker than it said.
        _try(lambda: stop.record(self._place, "AWS", interruption.REASON, now, sample))
        _try(self._tell_jobs)
        _try(lambda: stop.tell(text))
        _try(lambda: notices.begin("interrupted", text))

    def _tell_jobs(self) -> None:
        self._complaints = self._complaints + interruption.tell_jobs(users())

    def tick(self) -> Verdict:
        """One sample and all that follows from it."""
        self._load_policy()
        self._machine.policy = self._policy
        now = self._see()
        if now.stop and now.cause == "idle":
            time.sleep(min(1.0, self._policy.interval))  # rates need two looks
            now = self._see(again=True)  # read everything once more before it is too late
        _try(lambda: self._show(now))
        if now.stop:
            self._stop(now)
        else:
            _try(lambda: self._warn(now))
        _try(self._tell_of_budget)
        self._beat()
        return now

    def _see(self, *, again: bool = False) -> Verdict:
        sample = self._machine.sample(now=again)
        _try(lambda: self._log.append(sample))
        self._state = step(self._state, sample, self._policy)
        return verdict(self._state, self._policy)

    def _stop(self, now: Verdict) -> None:
        sample = self._state.sample
        assert sample is not None  # a verdict to stop comes from one
        layer, reason = ("watcher", now.reason) if self._off_at is None else ("AWS", interruption.REASON)
        _try(lambda: stop.record(self._place, layer, reason, now, sample))
        text = "by its watcher: " + reason if layer == "watcher" else reason
        _try(lambda: notices.last_words("stopped", text))
        if self._off_at is None:  # on a spot machine they have been told
            _try(self._end_jobs)
        off = Event("poweroff", sample.boot, time.time())
        _try(lambda: self._log.append(off))
        self._failed = "; ".join(stop.power_off(self._policy.stop_command, forced=self._forced))

    def _end_jobs(self) -> None:
        words = ["end", "%.0f" % stop.SAVING]
        problems = interruption.ask_jobs(users(), words, within=stop.SAVING + 5)
        self._complaints = self._complaints + problems

    def _warn(self, now: Verdict) -> None:
        rules = self._policy
        ahead = [lead for lead in rules.warn if now.cause != "idle" or lead < rules.idle_after]
        due = [lead for lead in ahead if now.stops_in <= lead]
        if not due:
            self._warned = self._warned if now.state == "held" else None
        elif self._warned is None or min(due) < self._warned:
            self._warned = min(due)
            stop.warn(now)
            notices.begin("stopping", stop.warning(now))

    def _tell_of_budget(self) -> None:
        """Each mark is told when it is passed, and by the watcher that was there when it was."""
        before, self._wall = self._wall, time.time()
        for percent, at in self._policy.budget_marks:
            if before < at <= self._wall:
                notices.begin("budget", "%g %% of this month's budget is spent" % percent)

    def _show(self, now: Verdict) -> None:
        """verdict.json: what `status` shows."""
        sample = self._state.sample
        shown = {
            "verdict": plain(now._replace(signals={}, seen={})),
            "signals": {
                name: {
                    "text": item.text,
                    "held": item.held,
                    "quiet": _finite(item.age),
                    "reading": plain(getattr(sample, name)),
                }
                for name, item in now.signals.items()
            },
            "seen": now.seen,
            "sample": {
                "mono": sample and sample.mono,
                "wall": sample and sample.wall,
                "boot": sample and sample.boot,
            },
            "keep": sample and plain(sample.keep),
            "complaints": self._complaints + ([self._failed] if self._failed else []),
            "policy": plain(self._policy),
        }
        figures = {name: item.text for name, item in now.signals.items()}
        _try(lambda: places.write(self._place.verdict, json.dumps(shown)))
        _try(lambda: places.write(self._place.figures, json.dumps(figures)))

    def _beat(self) -> None:
        """The heartbeat changes with each whole round; the guard stops the machine when it stands still."""
        # A user may fill /run (screen keeps its sockets there): the judging goes on without a heartbeat.
        _try(lambda: places.write(self._place.heartbeat, "%.3f\n" % time.monotonic()))
        if not os.path.exists(self._place.healthy) and (self._place.run != places.RUN or guard_armed()):
            _try(lambda: places.write(self._place.healthy, boot_id() + "\n"))
        _notify("READY=1\nWATCHDOG=1")

    def _load_policy(self) -> None:
        try:
            status = os.stat(self._place.policy)
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            stamp = (0, 0, 0)
        if stamp != self._policy_stamp:
            self._policy_stamp = stamp
            self._policy, self._complaints = policies.load(self._place.policy)
            use_zone(self._policy)

    def _keeps(self) -> List[Tuple[Optional[User], str]]:
        return places.keeps(self._place, users())

    def _say_goodbye(self) -> None:
        """When the machine goes down and it was not us: leave what can be said of it."""
        sample = self._state.sample
        going = _going_down()
        if sample is None or not going:
            return
        last = stop.stopped(self._place)
        if not (last and last.get("boot") == sample.boot):
            why = "shut down from outside: gpu-box stop, the deadline, AWS, or someone's shutdown"
            if going == "poweroff":
                now = verdict(self._state, self._policy)
                _try(lambda: stop.record(self._place, "outside", why, now, sample))
                _try(lambda: notices.last_words("stopped", why))
        if going == "poweroff":
            _try(lambda: self._log.append(Event("poweroff", sample.boot, time.time())))


def guard_armed() -> bool:
    try:
        return run(["systemctl", "is-active", "gpu-box-guard.timer"], seconds=10.0).strip() == "active"
    except OSError:
        return False


def _going_down() -> str:
    """ "poweroff" or "reboot" while systemd takes the machine down, "" when only the service is ended."""
    try:
        jobs = run(["systemctl", "list-jobs", "--no-legend"], seconds=5.0)
    except OSError:
        return ""
    if "reboot.target" in jobs or "kexec.target" in jobs:
        return "reboot"
    return "poweroff" if "poweroff.target" in jobs or "halt.target" in jobs else ""


def _finite(age: float) -> Optional[float]:
    return None if age == float("inf") else round(age, 1)


def _notify(text: str) -> None:
    """Tell systemd (sd_notify(3)) that we are up, and its watchdog that we still are."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            _try(lambda: link.sendto(text.encode(), "\0" + path[1:] if path[0] == "@" else path))


def _try(action: Any) -> None:
    """Do what the watcher can live without: a full disk costs the log, not the guarantee."""
    try:
        action()
    except OSError:
        pass
    except Exception as error:  # whatever it is, nothing may stand between a verdict and the power-off
        print("watch: %s: %s" % (type(error).__name__, error), file=sys.stderr)


def _end(*_: Any) -> None:
    raise Ended
