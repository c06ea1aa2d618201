"""How pixels must look for given weights. The network carries this along: no mixing.

Two halves: the geometry (here as numbers, done in `images` where a file is decoded) and the colours
(`Normalise`, the first layer of the network, so it runs on the GPU on bytes instead of floats).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Preprocessing:
    """What the weights were trained on. mean and std: of R, G, B, in units of a byte (0 to 255)."""

    name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool
    """The network's first channel is blue."""
    crop: bool
    """True: shorter side to 256/224 of the size, then the middle square. False: squashed to a square."""
    size: int = 224
    """Pixels a side that reach the network."""

    def at(self, size: int) -> Preprocessing:
        """The same colours at another size: what the network sees of a picture stays the same."""
        return Preprocessing(self.name, self.mean, self.std, self.bgr, self.crop, size)

    def describe(self) -> str:
        how = "cropped" if self.crop else "squashed"
        return f"{self.name} weights ({self.size}x{self.size} pixels, {how})"

    @property
    def shorter_side(self) -> int:
        """Pixels of the shorter side before the middle is cut out: 256 for 224."""
        return round(self.size * 256 / 224)


def _bytes(*shares: float) -> tuple[float, float, float]:
    red, green, blue = (255 * share for share in shares)
    return red, green, blue


# torchvision, VGG16_Weights.IMAGENET1K_V1.transforms(): resize 256, centre crop 224, RGB.
TORCHVISION = Preprocessing(
    "torchvision", mean=_bytes(0.485, 0.456, 0.406), std=_bytes(0.229, 0.224, 0.225), bgr=False, crop=True
)
# Simonyan and Zisserman's Caffe model as the 2017 lesson fed it: squashed, BGR, the mean off, no division.
CAFFE = Preprocessing("caffe", mean=(123.68, 116.779, 103.939), std=(1.0, 1.0, 1.0), bgr=True, crop=False)
# Weights that have seen nothing: ImageNet's colours, the whole picture.
RANDOM = Preprocessing("none", mean=TORCHVISION.mean, std=TORCHVISION.std, bgr=False, crop=False)


class Normalise(nn.Module):
    """Bytes or floats (n, 3, h, w), RGB, 0 to 255 -> floats as the weights want them, same shape."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.bgr = preprocessing.bgr
        # Not persistent: a state dict holds VGG16's 32 tensors and nothing else.
        for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
            self.register_buffer(name, torch.tensor(values, device="cpu").view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        normal = (images.float() - self.mean) / self.std
        return normal.flip(1) if self.bgr else normal
