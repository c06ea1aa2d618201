"""VGG16 on a GPU: where no convolution learns, each is one operation of cuDNN with its bias and ReLU.

PyTorch passes over the activations once for each. On an H200 a forward pass in bf16 was 1.6 times as fast
with this, and 1.2 times if compiled (docs/gpu.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from vgg16.model import VGG16

_ONE = (1, 1)
# cuDNN's fast kernels take multiples of 8; with three channels it was slow (pytorch issue 68506).
_CHANNELS = 8
_cudnn_can = True


def prepare(net: VGG16) -> VGG16:
    """The same network, fast on a GPU."""
    # All batches but the last have one shape: cuDNN tries its convolutions once and keeps the best.
    torch.backends.cudnn.benchmark = True
    net.features = Convolutions(*net.features)
    return net.to(memory_format=torch.channels_last)


class Convolutions(nn.Sequential):
    """VGG16's `features`, whose ReLUs each follow a convolution."""

    def forward(self, images: Tensor) -> Tensor:
        learns = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in self.parameters())
        if learns or not images.is_cuda or self[0].weight.dtype == torch.float32:
            return super().forward(images)
        return self.at_once(images)

    def at_once(self, images: Tensor) -> Tensor:
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                weight = layer.weight
                images = images.to(weight.dtype)
                if empty := -layer.in_channels % _CHANNELS:  # channels of zeros
                    images, weight = (_padded(each, empty) for each in (images, weight))
                images = convolve(images, weight, layer.bias)
            elif not isinstance(layer, nn.ReLU):
                images = layer(images)
        return images


@torch.library.custom_op("vgg16::convolve", mutates_args=())  # torch.compile takes it as it is
def convolve(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """ReLU of a convolution. images (n, in, h, w), weight (out, in, 3, 3), bias (out) -> (n, out, h, w)."""
    global _cudnn_can
    if images.is_cuda and _cudnn_can:
        try:
            return torch.cudnn_convolution_relu(images, weight, bias, _ONE, _ONE, _ONE, 1)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # an old card, or no memory: which, PyTorch's own convolution shows
            answer = F.conv2d(images, weight, bias, padding=1).relu_()
            _cudnn_can = False
            return answer
    return F.conv2d(images, weight, bias, padding=1).relu_()


@convolve.register_fake
def _(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    n, _, height, width = images.shape
    made = images.new_empty(n, len(weight), height, width)
    return _channels_last(made) if images.is_cuda else made


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def _padded(images: Tensor, channels: int) -> Tensor:
    return _channels_last(F.pad(images, (0, 0, 0, 0, 0, channels)))
