"""Weights by name or file: "imagenet", "caffe", "none", or a path. Each brings its preprocessing."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from vgg16.data.download import download
from vgg16.errors import BadWeights, DownloadFailed
from vgg16.preprocess import CAFFE, RANDOM, TORCHVISION, Preprocessing
from vgg16.weights.safetensors import read_safetensors


@dataclass(frozen=True)
class Entry:
    """A published file. Its sha256 begins with the eight digits in its name."""

    name: str
    url: str
    preprocessing: Preprocessing

    @property
    def file(self) -> str:
        return self.url.rsplit("/", 1)[1]


ENTRIES = {
    # torchvision, VGG16_Weights.IMAGENET1K_V1: 71.6 % top-1 on ImageNet.
    "imagenet": Entry("imagenet", "https://download.pytorch.org/models/vgg16-397923af.pth", TORCHVISION),
    # The authors' own Caffe model, as the 2017 lesson used it; converted by github.com/jcjohnson/pytorch-vgg.
    "caffe": Entry("caffe", "https://web.eecs.umich.edu/~justincj/models/vgg16-00b39a1b.pth", CAFFE),
}
_CHOICE = (
    "choose --weights none (random, no download) or --weights FILE (a .pth or .safetensors that you have)"
)


@dataclass(frozen=True)
class Weights:
    """state: 32 tensors by torchvision's names, or None for random ones. classes: names, where they are
    known.
    """

    name: str
    state: dict[str, Tensor] | None
    preprocessing: Preprocessing
    classes: tuple[str, ...]


def imagenet_classes() -> tuple[str, ...]:
    """ImageNet's 1,000 names in the order of the network's outputs: each synset's first word in WordNet."""
    return tuple(
        files("vgg16.weights").joinpath("imagenet_names.txt").read_text(encoding="utf-8").splitlines()
    )


def load(choice: str, say: Callable[[str], None] = print) -> Weights:
    """choice: a name of ENTRIES, "none", FILE, or NAME:FILE (a file with that entry's preprocessing).

    Raises BadWeights: no such file, no network, damaged, or not VGG16's.
    """
    if choice == "none":
        return Weights("none", None, RANDOM, imagenet_classes())
    entry = ENTRIES.get(choice)
    if entry is not None:
        path = find(entry) or _fetch(entry, say)
    else:
        name, _, rest = choice.partition(":")
        entry, path = (ENTRIES[name], Path(rest)) if name in ENTRIES else (None, Path(choice))
        path = path.expanduser()
    if not path.is_file():
        raise BadWeights(f"{path}: no such file; weights are imagenet, caffe, none, or a file")
    digest = _check_digest(path)
    entry = entry or _entry_of(digest)
    state = to_torchvision_names(_read(path), path)
    classes = imagenet_classes() if len(state["classifier.6.bias"]) == 1000 else ()
    return Weights(path.name, state, entry.preprocessing, classes)


def folder() -> Path:
    """$TORCH_HOME/hub/checkpoints: where torchvision and torch.hub keep theirs."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def find(entry: Entry) -> Path | None:
    path = folder() / entry.file
    return path if path.is_file() else None


def _fetch(entry: Entry, say: Callable[[str], None]) -> Path:
    path = folder() / entry.file
    try:
        download(entry.url, path, sha256_prefix=_digits(entry.file), say=say)
    except DownloadFailed as error:
        raise BadWeights(f"{error}; {_CHOICE}") from None
    return path


def _digits(name: str) -> str:
    """The eight digits of sha256 that a published file has in its name, "" where there are none."""
    found = re.search(r"-([0-9a-f]{8})\.\w+$", name)
    return found[1] if found else ""


def _check_digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(_digits(path.name)):
        raise BadWeights(
            f"{path}: damaged: its sha256 begins with {digest[:8]}, its name says {_digits(path.name)}; "
            "remove it, and it is fetched again"
        )
    return digest


def _entry_of(digest: str) -> Entry:
    """A file under any name: recognised by its content; whatever else is taken for torchvision's kind."""
    for entry in ENTRIES.values():
        if digest.startswith(_digits(entry.file)):
            return entry
    return ENTRIES["imagenet"]


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return read_safetensors(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except BadWeights:
        raise
    except Exception as error:  # torch.load raises half a dozen types for what is not a weights file
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise BadWeights(f"{path}: not a weights file ({reason})") from None
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise BadWeights(f"{path}: not a weights file (a dictionary of tensors is expected)")
    return loaded


def _is_zip(path: Path) -> bool:
    """torch.save's format since 1.6; older files (the official one is from 2017) cannot be mapped."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


# timm has the first two linear layers as convolutions; jcjohnson's Caffe files number them without the
# dropout.
_TIMM = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
_CAFFE = {"classifier.1": "classifier.0", "classifier.4": "classifier.3"}


def to_torchvision_names(state: dict[str, Tensor], path: Path | str = "weights") -> dict[str, Tensor]:
    """The 32 tensors by torchvision's names and shapes, whichever library's names they came with."""
    renames = _TIMM if "head.fc.weight" in state else _CAFFE if "classifier.1.weight" in state else {}
    named = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        named[f"{renames.get(layer, layer)}.{kind}"] = tensor
    expected = [f"features.{n}" for n in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
    expected += [f"classifier.{n}" for n in (0, 3, 6)]
    keys = {f"{layer}.{kind}" for layer in expected for kind in ("weight", "bias")}
    if missing := sorted(keys - named.keys()):
        raise BadWeights(
            f"{path}: not VGG16's weights: {len(missing)} of 32 tensors missing, as {missing[0]}"
        )
    if extra := sorted(named.keys() - keys):
        raise BadWeights(
            f"{path}: not VGG16's weights: has {extra[0]} (a batch-norm variant is another network)"
        )
    for layer in ("classifier.0", "classifier.3", "classifier.6"):
        named[f"{layer}.weight"] = named[f"{layer}.weight"].flatten(1)
    return {key: named[key].float() for key in sorted(keys)}
