"""SIGTERM: this training is to end soon, because AWS takes a spot machine back or Slurm's time is over.

The pass that runs is finished and kept, where there is time for it; `--resume` goes on after it.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vgg16.ranks import Ranks  # and with it PyTorch

EXIT_STATUS = 128 + signal.SIGTERM
_asked: list[int] = []  # the signals that came


class Ended(Exception):  # noqa: N818 - no error: it was asked for
    """The text is for the user."""


def listen() -> None:
    _asked.clear()
    signal.signal(signal.SIGTERM, _take)


def end_if_asked(epoch: int, ranks: Ranks) -> None:
    """To be called by every rank once the checkpoint of this pass is written. Raises Ended, in all."""
    if any(ranks.gather(bool(_asked))):
        raise Ended(f"ended by SIGTERM after epoch {epoch}, which is kept: --resume goes on from there")


def _take(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
