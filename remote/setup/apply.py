"""Applies the needed steps, independent ones in parallel. What has the same lock waits for one another."""

import contextlib
import fcntl
import json
import os
import threading
import time
from io import FileIO
from typing import Dict, Iterator, Sequence

from setup.desired import ROOT, Desired
from setup.session import Failed, Session, recorded, shortened, tell
from setup.step import NEEDED, NOT_ASKED_FOR, State, Step

_WAIT_FOR_OTHER_S = 30 * 60
_FOLLOWED = ("start", "update", "done")
_FINE, _FAILED, _REBOOT = "fine", "failed", "reboot"  # how a step ends


def apply(desired: Desired, wanted: Sequence[Step], *locks: str) -> bool:
    """Apply these steps. Returns whether each is done, unavailable here or waits for a reboot.

    wanted: must include each step that another of them waits for.
    """
    with contextlib.ExitStack() as stack:
        for name in locks:
            stack.enter_context(_locked(name))
        return _apply_all(desired, wanted)


def _apply_all(desired: Desired, wanted: Sequence[Step]) -> bool:
    ended = {step.name: threading.Event() for step in wanted}
    ends: Dict[str, str] = {}

    def work(step: Step) -> None:
        try:
            after = step.after(desired)
            for name in after:
                ended[name].wait()
            failed = [name for name in after if ends[name] == _FAILED and name not in step.despite]
            rebooting = [name for name in after if ends[name] == _REBOOT]
            if failed or rebooting:
                tell(step.name, "skipped", "waits for " + ", ".join(failed or rebooting))
                ends[step.name] = _FAILED if failed else _REBOOT
            else:
                ends[step.name] = _apply_one(step, desired)
        finally:
            ends.setdefault(step.name, _FAILED)
            ended[step.name].set()

    threads = [threading.Thread(target=work, args=(step,)) for step in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _FAILED not in ends.values()


def _apply_one(step: Step, desired: Desired) -> str:
    try:
        state = step.check(desired)
        if state.status == NEEDED:
            tell(step.name, "start", state.line)
            state = _apply_with_log(step, desired)
    except Failed as problem:
        tell(step.name, "failed", shortened(str(problem)))
        return _FAILED
    except Exception as problem:
        tell(step.name, "failed", "%s: %s" % (type(problem).__name__, problem))
        return _FAILED
    if state.status == NEEDED:  # still needed after apply: only a reboot helps
        tell(step.name, "reboot", state.line)
        return _REBOOT
    if state != NOT_ASKED_FOR:
        tell(step.name, "done", state.line)
    return _FINE


def _apply_with_log(step: Step, desired: Desired) -> State:
    session = Session(step.name)
    try:
        return step.apply(desired, session)
    except Exception as problem:
        session.write_log("failed: %s" % problem)
        raise
    finally:
        session.close()


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    """Wait while another set-up has the lock, also one whose laptop is gone, and show how far it is.

    The lock ends with its process. Its file holds that process's pid and events.
    """
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / (name + ".lock")).open("ab+", buffering=0) as lock:
        if not _is_free(lock):
            _follow(lock)
            tell("setup", "done", "the other set-up has ended")
        lock.truncate(0)
        with contextlib.suppress(OSError):  # a full disk
            lock.write(b"%d\n" % os.getpid())
        with recorded(lock.fileno()):
            yield


def _is_free(lock: FileIO) -> bool:
    """Take the lock, if it is free."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _follow(lock: FileIO) -> None:
    """Pass on what another set-up does until it ends. Raises Failed if it does nothing for long."""
    began = moved = time.monotonic()
    rest = b""
    lock.seek(0)
    while not _is_free(lock):
        if lock.tell() > os.fstat(lock.fileno()).st_size:  # the next one has begun
            lock.seek(0)
        *lines, rest = (rest + lock.read()).split(b"\n")
        last = {}
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                event = json.loads(line.decode())
                if event["event"] in _FOLLOWED:
                    last[event["step"]] = event["line"]
        now = time.monotonic()
        moved = now if lines else moved
        if now - moved > _WAIT_FOR_OTHER_S:
            raise Failed("another `gpu-box up` has been setting this box up, without progress, for 30 min")
        waiting = "another `gpu-box up` is setting this box up: following it, %d s" % (now - began)
        tell("setup", "waiting", waiting)
        for step, text in last.items():
            tell(step, "update", text)
        time.sleep(0.5)
