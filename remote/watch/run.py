"""The watcher's loop: sample, judge, log, warn, write the heartbeat, stop."""

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
from .advance import advance_jobs
from .judge import State, Verdict, step, verdict
from .limits import use_zone
from .log import Log
from .place import Place
from .read.command import run
from .read.machine import Machine, boot_id
from .read.people import User, users
from .read.spot import Metadata
from .sample import Event, plain

ADVANCE = 60.0  # s between two tries


class Ended(BaseException):
    """SIGTERM arrived: the service restarts or the machine shuts down.

    A BaseException, so that `except Exception` does not swallow it.
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
        with contextlib.suppress(OSError):  # watch even if the old samples cannot be read
            for sample in self._log.read():
                self._state = step(self._state, sample, self._policy)
        self._warned: Optional[float] = None  # lead time of the last warning, s
        self._wall = time.time()  # of the last check of the budget marks
        self._failed = ""
        self._advanced = float("-inf")  # monotonic: when queues were last advanced
        self._metadata = Metadata()
        self._risk: Optional[float] = None  # Unix time of AWS's last rebalance recommendation
        self._off_at: Optional[float] = None  # monotonic: when to stop after a spot interruption notice
        self._forced = stop.FORCED  # s after which a shutdown is forced

    def run(self) -> None:
        """Loop until SIGTERM. After an exception systemd restarts the process, and the guard counts."""
        signal.signal(signal.SIGTERM, _end)
        try:
            _try(lambda: stop.reserve(self._place.stopped))
            self._machine.sample()  # the baseline for the first rates
            time.sleep(min(1.0, self._policy.interval))
            due = time.monotonic()
            while True:
                self.tick()
                due = max(due + self._policy.interval, time.monotonic() + 0.1)
                self._rest(due)
        except Ended:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self._record_shutdown()

    def _rest(self, due: float) -> None:
        """Sleep until the next sample; on a spot machine poll for AWS's interruption notice meanwhile."""
        while True:
            left = due - time.monotonic()
            if left <= 0:
                return
            if not self._policy.notice:
                time.sleep(left)
            elif self._off_at is None:
                time.sleep(min(left, self._policy.notice))
                self._check_interruption()
            else:
                time.sleep(min(left, max(0.05, self._off_at - time.monotonic())))
                if time.monotonic() >= self._off_at:
                    self._stop(verdict(self._state, self._policy))
                    self._off_at = time.monotonic() + self._policy.interval  # still up: try again

    def _check_interruption(self) -> None:
        try:
            notice = self._metadata.notice()
        except (OSError, ValueError):
            return  # try again at the next poll
        sample = self._state.sample
        if notice is None:
            _try(self._check_recommendation)
        if notice is None or sample is None:
            return
        left = interruption.seconds_left(notice, time.time())
        self._off_at = time.monotonic() + left
        self._forced = interruption.forced_after(notice, time.time())
        now, text = verdict(self._state, self._policy), interruption.message(left)
        # Record first: AWS may stop the machine sooner than announced.
        _try(lambda: stop.record(self._place, "AWS", interruption.REASON, now, sample))
        _try(self._interrupt_jobs)
        _try(lambda: stop.announce(text))
        _try(lambda: notices.begin("interrupted", text))

    def _check_recommendation(self) -> None:
        at = self._metadata.recommendation()
        if at is not None and at != self._risk:
            self._risk = at
            self._complaints = self._complaints + interruption.warn_jobs(users(), at)

    def _interrupt_jobs(self) -> None:
        self._complaints = self._complaints + interruption.interrupt_jobs(users())

    def tick(self) -> Verdict:
        """Take one sample and act on it."""
        self._load_policy()
        self._machine.policy = self._policy
        now = self._judge()
        if now.stop and now.cause == "idle":
            time.sleep(min(1.0, self._policy.interval))  # a rate needs two readings
            now = self._judge(again=True)  # read every signal once more before stopping
        _try(lambda: self._show(now))
        if now.stop:
            self._stop(now)
        else:
            _try(lambda: self._warn(now))
        _try(self._announce_budget)
        _try(self._advance_queues)
        self._beat()
        return now

    def _judge(self, *, again: bool = False) -> Verdict:
        sample = self._machine.sample(now=again)
        _try(lambda: self._log.append(sample))
        self._state = step(self._state, sample, self._policy)
        return verdict(self._state, self._policy)

    def _stop(self, now: Verdict) -> None:
        sample = self._state.sample
        assert sample is not None  # without a sample no verdict says stop
        layer, reason = ("watcher", now.reason) if self._off_at is None else ("AWS", interruption.REASON)
        _try(lambda: stop.record(self._place, layer, reason, now, sample))
        text = "by its watcher: " + reason if layer == "watcher" else reason
        _try(lambda: notices.last_words("stopped", text))
        if self._off_at is None:  # an interruption has signalled them already
            _try(self._end_jobs)
        off = Event("poweroff", sample.boot, time.time())
        _try(lambda: self._log.append(off))
        self._failed = "; ".join(stop.power_off(self._policy.stop_command, forced=self._forced))

    def _end_jobs(self) -> None:
        words = ["end", "%.0f" % stop.SAVING]
        problems = interruption.ask_jobs(users(), words, within=stop.SAVING + 5)
        self._complaints = self._complaints + problems

    def _advance_queues(self) -> None:
        """Let the queues go on after a reboot, or if what should have started their next job was killed."""
        alone = self._machine.left_alone()
        if alone and self._off_at is None and time.monotonic() - self._advanced >= ADVANCE:
            self._advanced = time.monotonic()
            advance_jobs(alone)

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

    def _announce_budget(self) -> None:
        """Send a notice for each budget mark passed since the last check by this process."""
        before, self._wall = self._wall, time.time()
        for percent, at in self._policy.budget_marks:
            if before < at <= self._wall:
                notices.begin("budget", "%g %% of this month's budget is spent" % percent)

    def _show(self, now: Verdict) -> None:
        """Write verdict.json, which `status` reads."""
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
        """Change the heartbeat; the guard stops the machine when it no longer changes."""
        # A user can fill /run (screen keeps its sockets there): go on without a heartbeat.
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

    def _record_shutdown(self) -> None:
        """If the machine shuts down and this watcher did not start it, record that."""
        sample = self._state.sample
        going = _going_down()
        if sample is None or not going:
            return
        last = stop.stopped(self._place)
        if not (last and last.get("boot") == sample.boot):
            why = "shut down from outside: by gpu-box stop, the deadline, AWS or a shutdown command"
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
    """ "poweroff" or "reboot" while systemd shuts the machine down, "" if only the service ends."""
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
    """Report readiness and life to systemd (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            _try(lambda: link.sendto(text.encode(), "\0" + path[1:] if path[0] == "@" else path))


def _try(action: Any) -> None:
    """Run an optional action. Errors are ignored: a full disk costs the log, not the stop."""
    try:
        action()
    except OSError:
        pass
    except Exception as error:  # nothing may prevent the power-off
        print("watch: %s: %s" % (type(error).__name__, error), file=sys.stderr)


def _end(*_: Any) -> None:
    raise Ended
