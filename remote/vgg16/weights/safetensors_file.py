"""A network as one .safetensors file, which `train --save` writes, `--weights` and other programs read."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from vgg16 import BadWeights
from vgg16.files import refuse_special, write_whole
from vgg16.model import CAFFE, RANDOM, TORCHVISION, VGG16, Preprocessing

_BY_NAME = {each.name: each for each in (CAFFE, RANDOM, TORCHVISION)}


def check(path: Path) -> None:
    """Raises BadWeights, before hours of training, for a file that could not be written at their end."""
    if path.suffix != ".safetensors":
        raise BadWeights(f"{path}: the name must end in .safetensors")
    refuse_special(path)
    _require_library(path)


def save(path: Path, net: VGG16, classes: list[str]) -> None:
    """The 32 tensors in fp32, and the classes and the preprocessing that `load` needs as well.

    Written whole or not at all. Raises OSError.
    """
    from safetensors.torch import save as to_bytes

    state = {name: tensor.detach().float().cpu().contiguous() for name, tensor in net.state_dict().items()}
    about = {
        "format": "pt",
        "vgg16": json.dumps({"classes": classes, "preprocessing": net.preprocessing.name}),
    }
    content = to_bytes(state, metadata=about)
    write_whole(path, lambda file: file.write(content))


def load(path: Path) -> dict[str, Tensor]:
    """The tensors by name. Raises BadWeights without the package, SafetensorError for a damaged file."""
    _require_library(path)
    from safetensors.torch import load_file

    return load_file(path)


def description(path: Path, outputs: int) -> tuple[tuple[str, ...], Preprocessing] | None:
    """Classes and preprocessing that `save` wrote; None for a file of another program. Raises BadWeights."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        about = (file.metadata() or {}).get("vgg16")
    if about is None:
        return None
    try:
        written = json.loads(about)
        classes, preprocessing = tuple(map(str, written["classes"])), _BY_NAME[written["preprocessing"]]
    except (ValueError, TypeError, KeyError):
        raise BadWeights(f"{path}: its description of classes and preprocessing makes no sense") from None
    if len(classes) != outputs:
        raise BadWeights(f"{path}: names {len(classes)} classes for {outputs} outputs")
    return classes, preprocessing


def _require_library(path: Path) -> None:
    try:
        import safetensors.torch  # noqa: F401
    except ImportError:
        raise BadWeights(f"{path}: needs the package safetensors (`pip install safetensors`)") from None
