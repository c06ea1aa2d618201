"""What torchrun (`launch`) and its workers tell each other: by environment, exit status and error file.

Light: `python -m vgg16` reads it before PyTorch is there.
"""

from __future__ import annotations

import json
import os
import time

# A worker's exit status for what a restart cannot cure: wrong input, a loss that is no number. As argparse's.
HOPELESS = 2
_LAUNCHED = "VGG16_LAUNCHED"


def restarts() -> int:
    """How often torchrun began anew, with the same words, since a rank of this machine was lost.

    -1 without torchrun: nobody would begin anew.
    """
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "-1"))


def launching() -> None:
    """To be called by who starts the workers: it tells what they leave in their error files, once for all."""
    os.environ[_LAUNCHED] = str(time.monotonic())


def began() -> float:
    """By time.monotonic, which a machine's processes share: the run's begin, before any rank was lost."""
    return float(os.environ.get(_LAUNCHED, time.monotonic()))


def leave_word(text: str) -> bool:
    """The worker's last words into the file that torchrun gave it; whether somebody will say them aloud."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not path:
        return False
    word = {"message": text, "extraInfo": {"py_callstack": text, "timestamp": str(int(time.time()))}}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"message": word}, file)
    return _LAUNCHED in os.environ
