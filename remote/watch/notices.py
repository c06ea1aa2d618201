"""Notices to a webhook: the box says itself what it does, whoever's laptop is closed.

The address is a secret: it lies in ~/.gpu-box/notify.json (0600), is read by the process that sends, and is
in no log and no process list. That process runs as the user whose file it is: the machine's own watcher is
root, and the file names any address. It is a process of its own also because TLS costs memory that a watcher
need not hold, and because nothing that a webhook does may delay a stop by more than a few seconds.
"""

import os
import signal
import sys
from typing import Dict, List, Optional

from .place import shared
from .read.as_user import acting_as
from .read.command import ended, start, wait
from .read.people import users
from .read.text import read, values

FILE = os.path.join(".gpu-box", "notify.json")
WITHIN = 60.0  # s for all tries of a notice that nothing waits for
BEFORE_A_STOP = 8.0  # s that a stop may be held up by its notice
SLACK = 2.0  # s beyond them before the sending process is given up
_sending: List[int] = []  # pids


def begin(event: str, text: str, *, within: float = WITHIN) -> List[int]:
    """Start sending for each user who asked for notices; returns the processes.

    One that cannot start costs its notice.
    """
    words = [sys.executable or "/usr/bin/python3", "-E", "-s", "-S", "-m", __package__, "notify"]
    words += [event, text, "--within", "%g" % within, "--own"]
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    _sending[:] = [pid for pid in _sending if ended(pid) is None]
    begun = []
    for user in users():
        try:
            with acting_as(user):
                asked = os.path.exists(os.path.join(user.home, FILE))
            if asked:
                begun.append(start(words, user=user, folder=here))
        except (OSError, ValueError):
            continue
    _sending.extend(begun)
    return begun


def last_words(event: str, text: str, *, within: float = BEFORE_A_STOP) -> None:
    """Send before the machine goes: waited for, but not for long."""
    wait(begin(event, text, within=within), within + SLACK)


def settings() -> Optional[Dict[str, str]]:
    """{"box", "webhook", "format"} of this user; None where there are none, or they are damaged."""
    try:
        found = values(read(os.path.join(os.path.expanduser("~"), FILE), owner=os.geteuid()))
    except (OSError, ValueError):
        return None
    return {key: str(value) for key, value in found.items()} if found.get("webhook") else None


def command(words: List[str]) -> int:
    """`watch notify EVENT TEXT [--within SECONDS] [--own]`. 0 also where nobody asked for notices.

    By root: to every user's webhook, each as that user. --own: to one's own alone.
    """
    from .webhook import TITLES, deliver  # its libraries are not the watcher's to hold

    own = words[-1:] == ["--own"]
    words = words[:-1] if own else words
    if len(words) not in (2, 4) or words[0] not in TITLES or (len(words) == 4 and words[2] != "--within"):
        raise ValueError("notify EVENT TEXT [--within SECONDS], EVENT one of %s" % ", ".join(TITLES))
    within = float(words[3]) if len(words) == 4 else WITHIN
    if os.geteuid() == 0 and not (own or shared()):
        last_words(words[0], words[1], within=within)
        return 0
    asked = settings()
    if asked:
        # A timeout of urllib is for one read: an answer that trickles in would take as long as it likes.
        signal.setitimer(signal.ITIMER_REAL, within + SLACK)
        deliver(asked, words[0], words[1], within=within)
    return 0
