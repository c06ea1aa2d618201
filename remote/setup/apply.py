"""Applies the needed steps, independent ones in parallel. What has the same lock waits for one another."""

import contextlib
import fcntl
import os
import threading
import time
from typing import Dict, Iterator, Sequence

from setup.desired import ROOT, Desired
from setup.session import Failed, Session, shortened, tell
from setup.step import NEEDED, NOT_ASKED_FOR, State, Step

_WAIT_FOR_OTHER_S = 30 * 60
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
    """Wait while another `up` has the lock. It ends with its process."""
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / (name + ".lock")).open("a+") as lock:
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
