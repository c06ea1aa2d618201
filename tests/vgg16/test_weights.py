"""Weights from wherever they are, whoever named them; never the wrong ones in silence."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vgg16.errors import BadWeights
from vgg16.lesson import Vgg16
from vgg16.model import VGG16
from vgg16.preprocess import CAFFE, TORCHVISION
from vgg16.weights import loading
from vgg16.weights.initialise import random_state
from vgg16.weights.loading import load, to_torchvision_names

WIDTH = 4


@pytest.fixture
def state() -> dict[str, Tensor]:
    """As the official file's, but narrow."""
    return random_state(VGG16(TORCHVISION, width=WIDTH), 0)


def save(state: dict[str, Tensor], folder: Path, prefix: str = "vgg16") -> Path:
    """Named as published files are: with the first eight digits of its sha256."""
    path = folder / "new.pth"
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return path.rename(folder / f"{prefix}-{digest[:8]}.pth")


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def as_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    named = {}
    names = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    for key, tensor in state.items():
        layer, _, kind = key.rpartition(".")
        if kind == "weight" and layer == "classifier.0":
            tensor = tensor.view(tensor.shape[0], -1, 7, 7)
        if kind == "weight" and layer == "classifier.3":
            tensor = tensor[..., None, None]
        named[f"{names.get(layer, layer)}.{kind}"] = tensor
    return named


def write_safetensors(state: dict[str, Tensor], path: Path) -> None:
    """The format by hand, so that our reader is not checked against itself."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, tensor in state.items():
        raw = tensor.contiguous().numpy().tobytes()
        entry = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        header[name] = entry
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def test_a_local_file_in_torchvision_s_names_loads(state: dict[str, Tensor], tmp_path: Path) -> None:
    loaded = load(str(save(state, tmp_path)))
    assert loaded.state is not None and same(loaded.state, state)
    assert loaded.preprocessing == TORCHVISION
    assert len(loaded.classes) == 1000


def test_timm_s_names_and_convolution_shapes_load(state: dict[str, Tensor], tmp_path: Path) -> None:
    write_safetensors(as_timm(state), tmp_path / "model.safetensors")
    loaded = load(str(tmp_path / "model.safetensors"))
    assert loaded.state is not None and same(loaded.state, state)


def test_caffe_s_numbering_loads(state: dict[str, Tensor]) -> None:
    renames = {"classifier.0": "classifier.1", "classifier.3": "classifier.4"}
    caffe = {}
    for key, tensor in state.items():
        layer, _, kind = key.rpartition(".")
        caffe[f"{renames.get(layer, layer)}.{kind}"] = tensor
    assert same(to_torchvision_names(caffe), state)


def test_the_official_file_is_found_in_torch_home(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    path = save(state, folder)
    entry = loading.Entry("imagenet", f"http://127.0.0.1:9/{path.name}", TORCHVISION)
    monkeypatch.setitem(loading.ENTRIES, "imagenet", entry)
    vgg = Vgg16("imagenet", size=32, width=WIDTH, cache=None)
    assert vgg.classes[0] == "tench" and len(vgg.classes) == 1000
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8).numpy()
    best, numbers, names = vgg.predict(images)
    assert names[0] == vgg.classes[numbers[0]] and 0 < best[0] <= 1


def test_a_damaged_file_is_refused_by_its_digest(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = save(state, tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BadWeights, match="damaged: its sha256 begins with"):
        load(str(path))


def test_caffe_weights_bring_their_own_colours_and_shape(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(state, tmp_path)
    assert load(f"caffe:{path}").preprocessing == CAFFE
    # Under any name, a published file is known by its content.
    entry = loading.Entry("caffe", f"http://127.0.0.1:9/{path.name}", CAFFE)
    monkeypatch.setitem(loading.ENTRIES, "caffe", entry)
    renamed = path.rename(tmp_path / "mine.pth")
    assert load(str(renamed)).preprocessing == CAFFE
    vgg = Vgg16(str(renamed), size=32, width=WIDTH, cache=None)
    assert vgg.model.normalise.bgr and not vgg.preprocessing.crop


def test_without_a_network_the_choice_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vgg16.data.download._TRIES", 1)
    entry = loading.Entry("imagenet", "http://127.0.0.1:9/vgg16-397923af.pth", TORCHVISION)
    monkeypatch.setitem(loading.ENTRIES, "imagenet", entry)
    with pytest.raises(BadWeights, match="cannot be reached.*--weights none.*--weights FILE"):
        load("imagenet", say=lambda line: None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a weights file"),
        (b"hello, this is not a weights file at all", "not a weights file"),
    ],
)
def test_what_is_no_weights_file_is_said_to_be_none(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "thing.pth"
    path.write_bytes(content)
    with pytest.raises(BadWeights, match=message):
        load(str(path))


def test_another_network_s_weights_are_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state | {"features.1.running_mean": torch.zeros(4)}, tmp_path / "bn.pth")
    with pytest.raises(BadWeights, match="batch-norm"):
        load(str(tmp_path / "bn.pth"))
    del state["features.28.bias"]
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(BadWeights, match="1 of 32 tensors missing, as features.28.bias"):
        load(str(tmp_path / "short.pth"))


def test_a_cut_off_safetensors_file_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    write_safetensors(state, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadWeights, match="cut off"):
        load(str(path))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(BadWeights, match="cut off"):
        load(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="nowhere.pth: no such file"):
        load(str(tmp_path / "nowhere.pth"))
