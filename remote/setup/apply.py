"""Applies what is needed: steps side by side where none waits for another, one `apply` on a box at a time."""

import contextlib
import fcntl
import os
import threading
import time
from typing import Dict, Iterator

from setup import steps
from setup.desired import ROOT, Desired
from setup.session import Failed, Session, tell
from setup.step import NEEDED, NOT_ASKED_FOR, State, Step

_WAIT_FOR_OTHER_S = 30 * 60


def apply(desired: Desired) -> bool:
    """Returns whether every step is now done, or cannot be had here."""
    with _alone():
        return _apply_all(desired)


def _apply_all(desired: Desired) -> bool:
    ended = {step.name: threading.Event() for step in steps.ALL}
    fine: Dict[str, bool] = {}

    def work(step: Step) -> None:
        try:
            after = step.after(desired)
            for name in after:
                ended[name].wait()
            failed = [name for name in after if not fine[name]]
            if failed:
                tell(step.name, "skipped", "waits for " + ", ".join(failed))
            fine[step.name] = not failed and _apply_one(step, desired)
        finally:
            fine.setdefault(step.name, False)
            ended[step.name].set()

    threads = [threading.Thread(target=work, args=(step,)) for step in steps.ALL]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return all(fine.values())


def _apply_one(step: Step, desired: Desired) -> bool:
    try:
        state = step.check(desired)
        if state.status == NEEDED:
            tell(step.name, "start", state.line)
            state = _apply_with_log(step, desired)
    except Failed as problem:
        tell(step.name, "failed", str(problem))
        return False
    except Exception as problem:
        tell(step.name, "failed", "%s: %s" % (type(problem).__name__, problem))
        return False
    if state.status == NEEDED:  # applied, and still not there: only a reboot helps
        tell(step.name, "reboot", state.line)
    elif state != NOT_ASKED_FOR:
        tell(step.name, "done", state.line)
    return True


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
def _alone() -> Iterator[None]:
    """Wait while another `up` sets this box up. The lock ends with its process, however that ends."""
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / "setup.lock").open("a+") as lock:
        began = time.monotonic()
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                waited_s = time.monotonic() - began
                if waited_s > _WAIT_FOR_OTHER_S:
                    raise Failed("another `gpu-box up` has been setting this box up for 30 min") from None
                tell(
                    "setup",
                    "waiting",
                    "another `gpu-box up` is setting this box up: waiting, %d s" % waited_s,
                )
                time.sleep(0.5)
        lock.truncate(0)
        lock.write("%d\n" % os.getpid())
        lock.flush()
        yield
