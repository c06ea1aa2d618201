"""Against Keras's VGG16, an implementation of others: the same weights give the same answers.

Skipped without Keras (`pip install keras`); its PyTorch backend is enough.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vgg16.model import CAFFE, VGG16, Normalise
from vgg16.weights.initialise import random_state

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras's own, with new PyTorch

SIDE = 7  # of what the convolutions leave of 224 pixels
CHANNELS = 512


@pytest.fixture(scope="module")
def keras() -> Iterator[Any]:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    yield pytest.importorskip("keras", reason="Keras is not installed: pip install keras")


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.float32)


def ours(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))


def test_pictures_for_the_caffe_weights_are_keras_s_bit_for_bit(keras: Any, pictures: np.ndarray) -> None:
    expected = keras.applications.vgg16.preprocess_input(pictures.copy(), data_format="channels_last")
    found = Normalise(CAFFE)(ours(pictures)).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(found, np.asarray(expected))


def test_keras_s_network_gives_the_same_logits_within_the_rounding_of_fp32(
    keras: Any, pictures: np.ndarray
) -> None:
    net = VGG16(CAFFE, 10)
    net.load_state_dict(random_state(net, 0), assign=True)
    net.eval()
    theirs = keras.applications.VGG16(weights=None, classes=10, classifier_activation=None)
    theirs.set_weights([array for layer in layers(net) for array in as_keras(*layer)])
    prepared = keras.applications.vgg16.preprocess_input(pictures.copy(), data_format="channels_last")
    expected = np.asarray(theirs.predict(prepared, verbose=0))
    with torch.inference_mode():
        found = net(ours(pictures)).numpy()
    assert np.abs(found - expected).max() / np.abs(expected).max() < 5e-5
    assert (found.argmax(1) == expected.argmax(1)).all()


def layers(net: VGG16) -> Iterator[tuple[str, nn.Conv2d | nn.Linear]]:
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            yield name, layer


def as_keras(name: str, layer: nn.Conv2d | nn.Linear) -> tuple[np.ndarray, np.ndarray]:
    """Kernels as (height, width, in, out) and (in, out); Keras flattens pictures channels last."""
    weight = layer.weight.detach()
    if weight.dim() == 4:
        kernel = weight.permute(2, 3, 1, 0)
    elif name == "classifier.0":
        kernel = weight.view(-1, CHANNELS, SIDE, SIDE).permute(2, 3, 1, 0).flatten(0, 2)
    else:
        kernel = weight.t()
    return kernel.contiguous().numpy(), layer.bias.detach().numpy()
