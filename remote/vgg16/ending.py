"""What a training is asked to do in the middle of an epoch: end (SIGTERM), or save and continue.

Before there is anything to save, SIGTERM ends the process at once: it may wait for what never comes.
SIGTERM comes before AWS takes a spot machine back and before Slurm's time is over. If EC2 sees a higher risk
for a spot machine (rebalance recommendation), the file $GPU_BOX_SAVE changes, which `gpu-box run` and `train`
name.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType

EXIT_STATUS = 128 + signal.SIGTERM
# Ranks add up what each was asked: one END outweighs all SAVEs.
SAVE, END = 1, 1 << 20
_signals: list[int] = []
_begun: list[bool] = []
_last_save: list[int] = []  # when the file was last written, in ns; empty: not listening


class Ended(Exception):  # noqa: N818 - not an error: the user or AWS asked for it
    """Training was asked to end. The text is for the user."""


def listen() -> None:
    _signals.clear()
    _begun.clear()
    _last_save[:] = [_written()]
    signal.signal(signal.SIGTERM, _take)


def begin() -> None:
    """From now on someone asks, between two steps, whether to end."""
    _begun[:] = [True]


def ended() -> bool:
    return bool(_signals)


def asked() -> int:
    """END, SAVE (once for each change of the file) or 0."""
    if ended():
        return END
    # One rank on each machine looks at the file, so that all save once.
    if not _last_save or os.environ.get("LOCAL_RANK", "0") != "0":
        return 0
    if (written := _written()) == _last_save[0]:
        return 0
    _last_save[0] = written
    return SAVE


def _written() -> int:
    path = os.environ.get("GPU_BOX_SAVE")
    try:
        return os.stat(path).st_mtime_ns if path else 0
    except OSError:
        return 0


def _take(number: int, frame: FrameType | None) -> None:
    _signals.append(number)
    if not _begun:
        with suppress(OSError):
            os.write(2, b"ended by SIGTERM before training began\n")  # print may be in the middle of a line
        os._exit(EXIT_STATUS)
