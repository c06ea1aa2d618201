"""Notices to a webhook: the box says itself what it does, whoever's laptop is closed.

The address is a secret: it lies in ~/.gpu-box/notify.json (0600), is read by the process that sends, and is
in no log and no process list. Sending is a process of its own: TLS costs memory that a watcher need not hold,
and nothing that a webhook does may delay a stop by more than a few seconds.
"""

import contextlib
import json
import os
import subprocess
import sys
from typing import Dict, List, Optional

from .place import shared
from .read.people import users

FILE = os.path.join(".gpu-box", "notify.json")
WITHIN = 60.0  # s for all tries of a notice that nothing waits for
BEFORE_A_STOP = 8.0  # s that a stop may be held up by its notice
_sending: "List[subprocess.Popen[bytes]]" = []


def begin(event: str, text: str, *, within: float = WITHIN) -> "Optional[subprocess.Popen[bytes]]":
    """Start sending; None where nobody asked for notices. A process that cannot start costs the notice."""
    if not settings():
        return None
    words = ["-E", "-s", "-S", "-m", __package__, "notify", event, text, "--within", "%g" % within]
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    _sending[:] = [process for process in _sending if process.poll() is None]  # those that ended are reaped
    with contextlib.suppress(OSError):
        process = subprocess.Popen(
            [sys.executable or "/usr/bin/python3", *words],
            cwd=here,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _sending.append(process)
        return process
    return None


def last_words(event: str, text: str) -> None:
    """Send before the machine goes: waited for, but not for long."""
    process = begin(event, text, within=BEFORE_A_STOP)
    if process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(BEFORE_A_STOP + 2.0)


def settings() -> Optional[Dict[str, str]]:
    """{"box", "webhook", "format"} of the first user who has some; None where none has, or it is damaged."""
    others = [] if shared() else [user.home for user in users()]
    for home in [os.path.expanduser("~")] + others:
        try:
            with open(os.path.join(home, FILE), encoding="utf-8") as file:
                values = json.load(file)
        except (OSError, ValueError):
            continue
        if isinstance(values, dict) and values.get("webhook"):
            return {key: str(value) for key, value in values.items()}
    return None


def command(words: List[str]) -> int:
    """`python3 -m watch notify EVENT TEXT [--within SECONDS]`. 0 also where nobody asked for notices."""
    from .deliver import TITLES, deliver  # its libraries are not the watcher's to hold

    if len(words) not in (2, 4) or words[0] not in TITLES or (len(words) == 4 and words[2] != "--within"):
        raise ValueError("notify EVENT TEXT [--within SECONDS], EVENT one of %s" % ", ".join(TITLES))
    asked = settings()
    if asked:
        deliver(asked, words[0], words[1], within=float(words[3]) if len(words) == 4 else WITHIN)
    return 0
