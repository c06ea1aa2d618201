"""VGG16: configuration D of Simonyan and Zisserman, "Very deep convolutional networks", table 1 (2014).

Thirteen 3x3 convolutions in five blocks, three linear layers. Parameter names and shapes are torchvision's
(`features.0.weight` ... `classifier.6.bias`), so the official file loads as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vgg16.preprocess import Normalise, Preprocessing

# Channels of each convolution; "M" halves the picture.
TABLE_D = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


class VGG16(nn.Module):
    """images (n, 3, h, w), RGB, 0 to 255, bytes or floats, or what `convolve` made of them -> logits
    (n, classes).

    Parameters hold no memory until `load_state_dict(state, assign=True)` gives them some (`weights` and
    `weights.initialise` make such states): 138 million random numbers are not drawn to be thrown away.
    width: channels of the first block, 64 in the paper; tests take fewer. hidden: of the linear layers.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        classes: int = 1000,
        *,
        width: int = 64,
        hidden: int | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.width = width
        self.feature_count = 8 * width * 7 * 7
        hidden = 64 * width if hidden is None else hidden
        self.normalise = Normalise(preprocessing)
        with torch.device("meta"):
            self.features = nn.Sequential(*_convolutions(width))
            # Other sizes than 224 are averaged (or repeated) to 7x7: the same parameters at any size.
            self.avgpool = nn.AdaptiveAvgPool2d(7)
            self.classifier = nn.Sequential(
                nn.Linear(self.feature_count, hidden),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(hidden, hidden),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(hidden, classes),
            )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classify(self.convolve(inputs) if inputs.dim() == 4 else inputs)

    def convolve(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) -> what the linear layers see, (n, 25088): worth keeping while convolutions are
        frozen.
        """
        return self.avgpool(self.features(self.normalise(images))).flatten(1)

    def classify(self, features: Tensor) -> Tensor:
        """(n, 25088) -> logits (n, classes)."""
        return self.classifier(features)

    @property
    def last(self) -> nn.Linear:
        layer = self.classifier[-1]
        assert isinstance(layer, nn.Linear)
        return layer

    def replace_last(self, classes: int, *, seed: int) -> None:
        """A new last layer for as many classes, Glorot's initialisation as Keras's Dense; all else frozen."""
        self.requires_grad_(False)
        weight = torch.empty(classes, self.last.in_features)
        nn.init.xavier_uniform_(weight, generator=torch.Generator().manual_seed(seed))
        layer = nn.Linear(self.last.in_features, classes, device="meta")
        layer.load_state_dict({"weight": weight, "bias": torch.zeros(classes)}, assign=True)
        self.classifier[-1] = layer.to(self.last.weight.device).requires_grad_(True)

    @property
    def convolutions_are_frozen(self) -> bool:
        return not any(parameter.requires_grad for parameter in self.features.parameters())


def _convolutions(width: int) -> Iterator[nn.Module]:
    channels = 3
    for entry in TABLE_D:
        if isinstance(entry, str):
            yield nn.MaxPool2d(2)
        else:
            yield nn.Conv2d(channels, entry * width // 64, kernel_size=3, padding=1)
            yield nn.ReLU(inplace=True)
            channels = entry * width // 64
