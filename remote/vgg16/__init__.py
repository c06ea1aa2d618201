"""VGG16 as the 2017 lesson taught it, on plain PyTorch: `from vgg16 import Vgg16`, `python -m vgg16 -h`.

Read in this order: model (the network), preprocess and images (file to pixels), data (batches), cache (what
never has to be computed twice), train (the loop), lesson (the seven lines), run (what `gpu-box train` runs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vgg16.lesson import Vgg16

__all__ = ["Vgg16"]


def __getattr__(name: str) -> object:
    """Vgg16 on first use: preparing a data set need not wait the seconds that importing PyTorch takes."""
    if name == "Vgg16":
        from vgg16.lesson import Vgg16

        return Vgg16
    raise AttributeError(f"module 'vgg16' has no attribute {name!r}")
