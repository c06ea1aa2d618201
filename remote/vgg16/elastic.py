"""Messages between torchrun (`launch`) and its ranks, by environment, exit status and error file.

Imported before PyTorch is: standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time

from vgg16 import TrainingFailed

# A rank's exit status if a restart cannot help: wrong input, a loss that is not a number. As argparse's.
HOPELESS = 2
_LAUNCHED = "VGG16_LAUNCHED"


class Interrupted(TrainingFailed):
    """Training was cut off. Starting again from the last finished epoch may help."""


def restarts() -> int:
    """How often torchrun started the ranks again after one of this machine was lost; -1 without torchrun."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "-1"))


def launching() -> None:
    """Called by the process that starts the ranks and prints the text of their error files."""
    os.environ[_LAUNCHED] = str(time.monotonic())


def began() -> float:
    """When the run began, before any rank was lost, by time.monotonic, which a machine's processes share."""
    return float(os.environ.get(_LAUNCHED, time.monotonic()))


def leave_word(text: str) -> bool:
    """Write text into the file that torchrun gave this rank. Returns whether `launch` will print it."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not path:
        return False
    word = {"message": text, "extraInfo": {"py_callstack": text, "timestamp": str(int(time.time()))}}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"message": word}, file)
    return _LAUNCHED in os.environ


def end_with_launcher() -> None:
    """Let the kernel end this rank when torchrun dies: if it was killed, it cannot end its ranks itself."""
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_PR_SET_PDEATHSIG = 1  # prctl(2)
