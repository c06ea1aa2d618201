"""VGG16 as the 2017 lesson taught it, on plain PyTorch: `from vgg16 import Vgg16`, `python -m vgg16 -h`.

Read in this order: model (the network and its preprocessing), weights, device (CPU or GPU, precision),
pictures (files to batches), cache (outputs of frozen layers), train (the loop), lesson (the seven lines).
Everything else loads when it is used. Errors are below; each is one line for the user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vgg16.lesson import Vgg16

__all__ = ["Vgg16"]


def __getattr__(name: str) -> object:
    """Import Vgg16 on first use: preparing a data set need not wait the seconds that PyTorch takes."""
    if name == "Vgg16":
        from vgg16.lesson import Vgg16

        return Vgg16
    raise AttributeError(f"module 'vgg16' has no attribute {name!r}")


class Problem(Exception):
    """The input or the machine is not as needed: the message says what, where and what to do."""


class BadData(Problem):
    """A folder or a file of a data set is not usable."""


class UnreadableImage(BadData):
    """A picture cannot be decoded. It is named and left out of training."""


class BadWeights(Problem):
    """Weights are missing, damaged or not VGG16's."""


class TrainingFailed(Problem):
    """Training cannot continue: the loss is not a number, or a single picture does not fit into memory."""
