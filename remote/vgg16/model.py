"""VGG16: configuration D of Simonyan and Zisserman, "Very deep convolutional networks", table 1 (2014).

Thirteen 3x3 convolutions in five blocks, three linear layers. Parameter names and shapes are torchvision's
(`features.0.weight` ... `classifier.6.bias`), so the official file loads as it is. A network carries the
preprocessing of its weights: geometry as numbers for `pictures`, colours as its first layer (`Normalise`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

# Channels of each convolution; "M" halves the picture.
TABLE_D = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
HIDDEN = 2  # the layers of the classifier up to the first linear one and its ReLU


@dataclass(frozen=True)
class Preprocessing:
    """How the weights' pictures were prepared. mean and std: of R, G, B, in units of a byte (0 to 255).

    bgr: the network's first channel is blue. crop: the shorter side is resized to 256/224 of the size and
    the middle square cut out; otherwise the picture is squashed to a square. size: pixels a side.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool
    crop: bool
    size: int = 224

    def at(self, size: int) -> Preprocessing:
        """The same colours and shape at another size."""
        return replace(self, size=size)

    def describe(self) -> str:
        how = "cropped" if self.crop else "squashed"
        return f"{self.name} weights ({self.size}x{self.size} pixels, {how})"


# torchvision, VGG16_Weights.IMAGENET1K_V1.transforms(): resize 256, centre crop 224, RGB.
_MEAN, _STD = (255 * 0.485, 255 * 0.456, 255 * 0.406), (255 * 0.229, 255 * 0.224, 255 * 0.225)
TORCHVISION = Preprocessing("torchvision", _MEAN, _STD, bgr=False, crop=True)
# Simonyan and Zisserman's Caffe model as the 2017 lesson fed it: squashed, BGR, the mean subtracted.
CAFFE = Preprocessing("caffe", (123.68, 116.779, 103.939), (1.0, 1.0, 1.0), bgr=True, crop=False)
# Random weights: ImageNet's colours, the whole picture.
RANDOM = Preprocessing("none", _MEAN, _STD, bgr=False, crop=False)


class Normalise(nn.Module):
    """Bytes or floats (n, 3, h, w), RGB, 0 to 255 -> floats as the weights expect them, same shape."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.bgr = preprocessing.bgr
        # Not persistent: a state dict holds VGG16's 32 tensors and nothing else.
        for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
            self.register_buffer(name, torch.tensor(values, device="cpu").view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        normal = (images.float() - self.mean) / self.std
        return normal.flip(1) if self.bgr else normal


class Dropout(nn.Dropout):
    """On a CPU, one half is decided by single random bits: PyTorch draws a whole number for each input."""

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or self.p != 0.5 or inputs.device.type != "cpu" or inputs.numel() % 8:
            return super().forward(inputs)
        drawn = torch.empty(inputs.numel() // 8, dtype=torch.uint8).random_()
        return inputs * torch.from_numpy(np.unpackbits(drawn.numpy())).view(inputs.shape).mul_(2)


class VGG16(nn.Module):
    """images (n, 3, h, w), RGB, 0 to 255, bytes or floats -> logits (n, classes).

    It also computes from the middle: with a layer's inputs and `start`, the layer's number in `classifier`.
    Parameters hold no memory until `load_state_dict(state, assign=True)`, so that no 138 million random
    numbers are drawn in vain (`weights` and `weights.initialise` make states). width: channels of the first
    block, 64 in the paper; tests use fewer. hidden: outputs of the first two linear layers.
    """

    def __init__(
        self, preprocessing: Preprocessing, classes: int = 1000, *, width: int = 64, hidden: int | None = None
    ) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.feature_count = 8 * width * 7 * 7
        self.hidden_count = hidden = 64 * width if hidden is None else hidden
        self.normalise = Normalise(preprocessing)
        with torch.device("meta"):
            self.features = nn.Sequential(*_convolutions(width))
            # Other sizes than 224 are averaged (or repeated) to 7x7: the same parameters at any size.
            self.avgpool = nn.AdaptiveAvgPool2d(7)
            self.classifier = nn.Sequential(
                nn.Linear(self.feature_count, hidden),
                nn.ReLU(inplace=True),
                Dropout(),
                nn.Linear(hidden, hidden),
                nn.ReLU(inplace=True),
                Dropout(),
                nn.Linear(hidden, classes),
            )

    def forward(self, inputs: Tensor, start: int = 0) -> Tensor:
        """start: the first layer of `classifier` to compute; images always go through all layers."""
        if inputs.dim() == 4:
            inputs, start = self.convolve(inputs), 0
        return self.classify(inputs, start)

    def convolve(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) -> the classifier's inputs (n, 25088)."""
        return self.avgpool(self.features(self.normalise(images))).flatten(1)

    def classify(self, features: Tensor, start: int = 0, end: int | None = None) -> Tensor:
        """The layers [start, end) of the classifier: by default (n, 25088) -> logits (n, classes)."""
        for layer in self.classifier[start:end]:
            features = layer(features)
        return features

    def first_hidden(self, features: Tensor) -> Tensor:
        """(n, 25088) -> outputs of the first linear layer and its ReLU (n, 4096)."""
        return self.classify(features, end=HIDDEN)

    def constant_until(self, training: bool) -> int:
        """The number of the classifier's first layer that is trained, or random when training.

        While the convolutions are frozen, its inputs are the same for a picture in every pass.
        """
        random = nn.Dropout if training else ()
        for number, layer in enumerate(self.classifier):
            if isinstance(layer, random) or any(p.requires_grad for p in layer.parameters()):
                return number
        return len(self.classifier)

    @property
    def last(self) -> nn.Linear:
        return self.classifier[-1]

    @property
    def convolutions_are_frozen(self) -> bool:
        return not any(parameter.requires_grad for parameter in self.features.parameters())

    def replace_last(self, classes: int, *, seed: int) -> None:
        """Put a new last layer, initialised as Keras's Dense (Glorot), and freeze all others."""
        self.requires_grad_(False)
        layer = nn.utils.skip_init(nn.Linear, self.last.in_features, classes)
        nn.init.xavier_uniform_(layer.weight, generator=torch.Generator().manual_seed(seed))
        nn.init.zeros_(layer.bias)
        self.classifier[-1] = layer.to(self.last.weight.device)


def _convolutions(width: int) -> Iterator[nn.Module]:
    channels = 3
    for entry in TABLE_D:
        if isinstance(entry, str):
            yield nn.MaxPool2d(2)
        else:
            yield nn.Conv2d(channels, entry * width // 64, kernel_size=3, padding=1)
            yield nn.ReLU(inplace=True)
            channels = entry * width // 64
