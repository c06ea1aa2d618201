"""Weights by name or file: "imagenet", "caffe", "none", or a path. Each brings its preprocessing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vgg16 import BadWeights
from vgg16.model import CAFFE, RANDOM, TORCHVISION, VGG16, Preprocessing


@dataclass(frozen=True)
class Entry:
    """A published file. sha256: as much of it as is published."""

    url: str
    preprocessing: Preprocessing
    sha256: str


_SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
ENTRIES = {
    # torchvision, VGG16_Weights.IMAGENET1K_V1: 71.6 % top-1 on ImageNet.
    "imagenet": Entry("https://download.pytorch.org/models/vgg16-397923af.pth", TORCHVISION, _SHA256),
    # The authors' own Caffe model, as the 2017 lesson used it; converted by github.com/jcjohnson/pytorch-vgg.
    "caffe": Entry("https://web.eecs.umich.edu/~justincj/models/vgg16-00b39a1b.pth", CAFFE, "00b39a1b"),
}
NAMES = VGG16(RANDOM).state_dict().keys()


@dataclass(frozen=True)
class Weights:
    """state: the 32 tensors by torchvision's names, None for random ones. classes: empty if unknown."""

    name: str
    state: dict[str, Tensor] | None
    preprocessing: Preprocessing
    classes: tuple[str, ...]


def imagenet_classes() -> tuple[str, ...]:
    """ImageNet's 1,000 names in the order of the network's outputs: each synset's first word in WordNet."""
    return tuple(Path(__file__).with_name("imagenet_names.txt").read_text(encoding="utf-8").splitlines())


def load(choice: str, say: Callable[[str], None] = print) -> Weights:
    """choice: a name of ENTRIES, "none", FILE, or NAME:FILE (a file with that entry's preprocessing). Raises
    BadWeights: no such file, no network, damaged, or not VGG16's.
    """
    if choice == "none":
        return Weights("none", None, RANDOM, imagenet_classes())
    name, _, file = choice.partition(":")
    entry = ENTRIES.get(name)
    path = Path(file if entry else choice).expanduser() if file or not entry else _found(entry, say)
    if not path.is_file():
        raise BadWeights(f"{path}: no such file; weights are imagenet, caffe, none, or a file")
    recognised = _recognised(path)
    state = _read(path)
    if state.keys() != NAMES or state["classifier.0.weight"].dim() != 2:
        from vgg16.weights.names import to_torchvision_names

        state = to_torchvision_names(state, path)
    state = {name: state[name].float() for name in sorted(state)}
    count = len(state["classifier.6.bias"])
    classes, preprocessing = imagenet_classes() if count == 1000 else (), (entry or recognised).preprocessing
    if path.suffix == ".safetensors":
        from vgg16.weights.safetensors_file import description

        classes, preprocessing = description(path, count) or (classes, preprocessing)
    return Weights(path.name, state, preprocessing, classes)


def _found(entry: Entry, say: Callable[[str], None]) -> Path:
    """The entry's file where torchvision and torch.hub keep theirs; it is downloaded if it is not there."""
    path = Path(torch.hub.get_dir(), "checkpoints", Path(entry.url).name)
    if not path.is_file():
        from vgg16.weights.published import fetch

        fetch(entry, path, say)
    return path


def _recognised(path: Path) -> Entry:
    """The published file with this content, whatever its name; torchvision's for any other content."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    for one in ENTRIES.values():
        if path.name == Path(one.url).name and not digest.startswith(one.sha256):
            raise BadWeights(f"{path}: damaged: its sha256 is {digest}; remove it to download it again")
    return next((one for one in ENTRIES.values() if digest.startswith(one.sha256)), ENTRIES["imagenet"])


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from vgg16.weights import safetensors_file

            return safetensors_file.load(path)
        with path.open("rb") as file:
            mapped = file.read(2) == b"PK"  # files older than PyTorch 1.6 (the official one) cannot be
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except BadWeights:
        raise
    except Exception as error:  # torch.load raises half a dozen types for other files
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise BadWeights(f"{path}: not a weights file ({reason})") from None
    if isinstance(loaded, dict) and all(isinstance(value, Tensor) for value in loaded.values()):
        return loaded
    raise BadWeights(f"{path}: not a weights file (a dictionary of tensors is expected)")
