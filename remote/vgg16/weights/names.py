"""Other programs' names and shapes of VGG16's tensors."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from vgg16 import BadWeights
from vgg16.weights import NAMES

# timm has the first two linear layers as convolutions; jcjohnson's Caffe files number them without dropout.
_TIMM = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
_CAFFE = {"classifier.1": "classifier.0", "classifier.4": "classifier.3"}


def to_torchvision_names(state: dict[str, Tensor], path: Path | str = "weights") -> dict[str, Tensor]:
    """The 32 tensors by torchvision's names and shapes. Raises BadWeights for another network's."""
    renames = _TIMM if "head.fc.weight" in state else _CAFFE if "classifier.1.weight" in state else {}
    named = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        named[f"{renames.get(layer, layer)}.{kind}"] = tensor
    if missing := sorted(NAMES - named.keys()):
        raise BadWeights(
            f"{path}: not VGG16's weights: {len(missing)} of 32 tensors missing, as {missing[0]}"
        )
    if extra := sorted(named.keys() - NAMES):
        raise BadWeights(
            f"{path}: not VGG16's weights: has {extra[0]} (a batch-norm variant is another network)"
        )
    for layer in _TIMM.values():
        named[f"{layer}.weight"] = named[f"{layer}.weight"].flatten(1)
    return named
