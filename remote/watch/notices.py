"""Sends notices from the box to users' webhooks, so that they arrive while the laptop is closed.

The address is a secret: it is in ~/.gpu-box/notify.json (0600) and in no log and no process list. A separate
process reads the file and sends, as the user who owns it, because the watcher is root and the file may name
any address. It also keeps TLS out of the watcher's memory and bounds the delay of a stop to a few seconds.
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
WITHIN = 60.0  # s for all tries, if nothing waits for the notice
BEFORE_A_STOP = 8.0  # s for all tries, if a stop waits
SLACK = 2.0  # s after that before the sending process is abandoned
_sending: List[int] = []  # pids


def begin(event: str, text: str, *, within: float = WITHIN) -> List[int]:
    """Start sending to each user with a webhook. Returns the pids.

    A process that cannot start is skipped.
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
    """Send before a stop, and wait until sent or for `within` + SLACK seconds."""
    wait(begin(event, text, within=within), within + SLACK)


def settings() -> Optional[Dict[str, str]]:
    """This user's {"box", "webhook", "format"}; None if the file is missing or invalid."""
    try:
        found = values(read(os.path.join(os.path.expanduser("~"), FILE), owner=os.geteuid()))
    except (OSError, ValueError):
        return None
    return {key: str(value) for key, value in found.items()} if found.get("webhook") else None


def command(words: List[str]) -> int:
    """`watch notify EVENT TEXT [--within SECONDS] [--own]`. Returns 0, also without a webhook.

    Root sends to every user's webhook, each as that user; --own: only to the caller's.
    """
    from .webhook import TITLES, deliver  # imported here to keep urllib out of the watcher's memory

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
        # urllib's timeout applies to each read, not to the whole answer.
        signal.setitimer(signal.ITIMER_REAL, within + SLACK)
        deliver(asked, words[0], words[1], within=within)
    return 0
