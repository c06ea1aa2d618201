"""Random, seeded weights, for machines without the official file.

With plain He initialisation thirteen layers give nearly the same output for all pictures. So each layer is
scaled and shifted until its outputs over a few training pictures have mean 0 and deviation 1 a channel
(Kraehenbuehl et al., "Data-dependent initializations of convolutional neural networks", ICLR 2016;
Mishkin and Matas, "All you need is a good init", ICLR 2016). No layer is added: it is still table D.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from vgg16 import BadData
from vgg16.device import Ranks
from vgg16.model import VGG16
from vgg16.pictures import Batches

_PICTURES = 64  # that the weights are scaled by


def random_state(net: VGG16, seed: int) -> dict[str, Tensor]:
    """He et al. (2015): normal, variance 2 / inputs; biases 0. The same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, parameter in net.named_parameters():
        if parameter.dim() == 1:
            state[name] = torch.zeros(parameter.shape)
        else:
            deviation = (2 / parameter[0].numel()) ** 0.5
            state[name] = torch.empty(parameter.shape).normal_(std=deviation, generator=generator)
    return state


def calibrate_by(batches: Batches, net: VGG16, ranks: Ranks) -> None:
    """Calibrate net by some of these pictures, evenly from all classes, always the same. Raises BadData."""
    number = min(_PICTURES, batches.nb_sample)
    rows = np.linspace(0, batches.nb_sample - 1, number).astype(int)
    if (found := next(batches.load([rows]), None)) is None:
        raise BadData(f"{batches.folder.root}: not one of its pictures can be read")
    calibrate(net, found[0])
    if ranks.world > 1:
        ranks.equalise(net)


@torch.inference_mode()
def calibrate(net: VGG16, images: Tensor) -> None:
    """Every layer but the last gets mean 0 and deviation 1 a channel over images (n, 3, h, w), RGB bytes."""
    device = net.last.weight.device
    flow = net.normalise(images.to(device))
    for layer in net.features:
        flow = _calibrated(layer, flow)
    flow = net.avgpool(flow).flatten(1)
    for layer in net.classifier[:-1]:
        # Dropout is left out: it is for training.
        flow = flow if isinstance(layer, nn.Dropout) else _calibrated(layer, flow)


def _calibrated(layer: nn.Module, flow: Tensor) -> Tensor:
    """The layer's output for flow (n, channels, ...); a layer with parameters is first set right by it."""
    if not isinstance(layer, nn.Conv2d | nn.Linear):
        return layer(flow)
    layer.bias.zero_()
    flow = layer(flow)
    others = [axis for axis in range(flow.dim()) if axis != 1]
    mean = flow.mean(others)
    # A channel that is the same for every picture has nothing to scale up.
    deviation = flow.std(others).clamp_min(1e-3)
    layer.weight.div_(deviation.view(-1, *[1] * (layer.weight.dim() - 1)))
    layer.bias.copy_(-mean / deviation)
    shape = [-1 if axis == 1 else 1 for axis in range(flow.dim())]
    return flow.sub_(mean.view(shape)).div_(deviation.view(shape))
