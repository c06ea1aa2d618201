"""Notices on this laptop, where the config asks for them: its desktop's own, a command of the user's.

The box tells a webhook by itself, laptop or not (remote/watch/notices.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

from gpu_box.config import Notify

_PATIENCE_S = 10.0
_PAUSES_S = (1.0, 3.0)  # before it is tried again: a network that is just coming back
# The words come as arguments: no quoting of them can go wrong.
_MACOS = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"


def tell(notify: Notify, event: str, title: str, text: str) -> str:
    """What went wrong, as one line for the user; "" for nothing. event: as in remote/watch/deliver.py."""
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
