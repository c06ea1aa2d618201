"""Weights load from any place and under other programs' names; wrong ones are refused."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.vgg16.full_disk import files_up_to
from torch import Tensor

from vgg16 import BadWeights, weights
from vgg16.lesson import Vgg16
from vgg16.model import CAFFE, TORCHVISION, VGG16
from vgg16.weights import load, safetensors_file
from vgg16.weights.initialise import random_state
from vgg16.weights.names import to_torchvision_names

WIDTH = 4


@pytest.fixture
def state() -> dict[str, Tensor]:
    """As the official file's, but narrow."""
    return random_state(VGG16(TORCHVISION, width=WIDTH), 0)


def save(state: dict[str, Tensor], folder: Path, prefix: str = "vgg16") -> Path:
    """Named as published files are: with the first eight digits of its sha256."""
    path = folder / "new.pth"
    torch.save(state, path)
    return path.rename(folder / f"{prefix}-{sha256(path)[:8]}.pth")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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


def test_a_local_file_in_torchvision_s_names_loads(state: dict[str, Tensor], tmp_path: Path) -> None:
    loaded = load(str(save(state, tmp_path)))
    assert loaded.state is not None and same(loaded.state, state)
    assert loaded.preprocessing == TORCHVISION
    assert len(loaded.classes) == 1000


def test_timm_s_names_and_convolution_shapes_load(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(as_timm(state), tmp_path / "model.safetensors")
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
    entry = weights.Entry(f"http://127.0.0.1:9/{path.name}", TORCHVISION, sha256(path))
    monkeypatch.setitem(weights.ENTRIES, "imagenet", entry)
    vgg = Vgg16("imagenet", size=32, width=WIDTH, cache=None)
    assert vgg.classes[0] == "tench" and len(vgg.classes) == 1000
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8).numpy()
    best, numbers, names = vgg.predict(images)
    assert names[0] == vgg.classes[numbers[0]] and 0 < best[0] <= 1


@pytest.mark.parametrize("where", ["in the cache", "given", "given by its kind"])
@pytest.mark.parametrize("published", ["its whole sha256", "eight digits of it"])
def test_a_damaged_file_is_refused_by_its_digest(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, published: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    path = save(state, folder)
    known = sha256(path) if "whole" in published else sha256(path)[:8]
    entry = weights.Entry(f"http://127.0.0.1:9/{path.name}", TORCHVISION, known)
    monkeypatch.setitem(weights.ENTRIES, "imagenet", entry)
    choice = {"in the cache": "imagenet", "given": str(path), "given by its kind": f"imagenet:{path}"}[where]
    assert load(choice).state is not None
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BadWeights, match="damaged: its sha256 is"):
        load(choice)


def test_eight_right_digits_are_not_enough_where_all_are_known(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(state, tmp_path)
    forged = weights.Entry(f"http://127.0.0.1:9/{path.name}", CAFFE, sha256(path)[:8] + "0" * 56)
    monkeypatch.setitem(weights.ENTRIES, "caffe", forged)
    with pytest.raises(BadWeights, match="damaged: its sha256 is"):
        load(str(path))
    assert load(str(path.rename(tmp_path / "mine.pth"))).preprocessing == TORCHVISION


def test_a_date_in_a_file_s_name_is_no_digest(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = save(state, tmp_path).rename(tmp_path / "pets-20261129.pth")
    loaded = load(str(path)).state
    assert loaded is not None and same(loaded, state)


def test_a_download_is_checked_by_all_of_its_published_digest(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(state, tmp_path)
    digest = sha256(path)
    for number, (whole, fits) in enumerate([(digest, True), (digest[:8] + "0" * 56, False)]):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / str(number)))
        entry = weights.Entry(path.as_uri(), TORCHVISION, whole)
        monkeypatch.setitem(weights.ENTRIES, "imagenet", entry)
        with nullcontext() if fits else pytest.raises(BadWeights, match="what came is not the file"):
            load("imagenet", say=lambda line: None)


def test_caffe_weights_bring_their_own_colours_and_shape(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(state, tmp_path)
    assert load(f"caffe:{path}").preprocessing == CAFFE
    # Under any name, a published file is known by its content.
    entry = weights.Entry(f"http://127.0.0.1:9/{path.name}", CAFFE, sha256(path)[:8])
    monkeypatch.setitem(weights.ENTRIES, "caffe", entry)
    renamed = path.rename(tmp_path / "mine.pth")
    assert load(str(renamed)).preprocessing == CAFFE
    vgg = Vgg16(str(renamed), size=32, width=WIDTH, cache=None)
    assert vgg.model.normalise.bgr and not vgg.preprocessing.crop


def test_without_a_network_the_message_lists_the_other_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vgg16.data.download._TRIES", 1)
    entry = weights.Entry("http://127.0.0.1:9/vgg16-397923af.pth", TORCHVISION, "397923af")
    monkeypatch.setitem(weights.ENTRIES, "imagenet", entry)
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
    save_file(state, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadWeights, match="cut.safetensors: not a weights file"):
        load(str(path))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(BadWeights, match="cut.safetensors: not a weights file"):
        load(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="nowhere.pth: no such file"):
        load(str(tmp_path / "nowhere.pth"))


def test_a_trained_network_is_saved_and_loads_with_its_classes(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    net = VGG16(CAFFE.at(64), 3, width=WIDTH)
    net.load_state_dict(random_state(net, 0), assign=True)
    path = tmp_path / "out" / "pets.safetensors"
    safetensors_file.save(path, net, ["cat", "dog", "o'wl"])
    loaded = load(str(path))
    assert loaded.state is not None and same(loaded.state, net.state_dict())
    assert (loaded.classes, loaded.preprocessing.name) == (("cat", "dog", "o'wl"), "caffe")
    assert same(load_file(path), net.state_dict()), "other programs read it, too"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "about",
    [
        "no JSON",
        "{}",
        '{"classes": ["a"], "preprocessing": "x"}',
        '{"classes": ["a"], "preprocessing": "caffe"}',
    ],
)
def test_a_description_that_does_not_fit_the_tensors_is_refused(
    state: dict[str, Tensor], tmp_path: Path, about: str
) -> None:
    path = tmp_path / "odd.safetensors"
    save_file(state, path, metadata={"vgg16": about})
    with pytest.raises(BadWeights, match="odd.safetensors"):
        load(str(path))


def test_a_full_disk_costs_the_saved_network_one_line_and_leaves_the_older_file(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    net = VGG16(CAFFE.at(64), 3, width=WIDTH)
    net.load_state_dict(random_state(net, 0), assign=True)
    path = tmp_path / "pets.safetensors"
    path.write_bytes(b"older")
    with files_up_to(1024), pytest.raises(OSError, match="File too large.*pets.safetensors"):
        safetensors_file.save(path, net, ["a", "b", "c"])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"older"


def test_a_file_that_could_not_be_written_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="must end in .safetensors"):
        safetensors_file.check(tmp_path / "model.pth")
