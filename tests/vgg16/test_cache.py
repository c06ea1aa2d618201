"""Nothing is computed twice, no stale row is used, and a kill in the middle costs at most a row."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
import torch

from vgg16 import TrainingFailed
from vgg16.cache import FeatureCache, default_root
from vgg16.data.augment import Augment
from vgg16.device import transfer
from vgg16.lesson import Vgg16
from vgg16.model import CAFFE, RANDOM, VGG16, Preprocessing
from vgg16.train import Report
from vgg16.weights.initialise import random_state

SMALL = RANDOM.at(32)


class Quiet(Report):
    def say(self, line: str) -> None:
        pass


@pytest.fixture
def vgg(tmp_path: Path) -> Vgg16:
    return Vgg16("none", size=32, width=8, cache=tmp_path / "cache", report=Quiet())


def convolved(vgg: Vgg16, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each call of the convolutions got, from here on."""
    counts: list[int] = []
    convolve = vgg.model.convolve
    monkeypatch.setattr(vgg.model, "convolve", lambda images: counts.append(len(images)) or convolve(images))
    return counts


def net(preprocessing: Preprocessing = SMALL, seed: int = 0) -> VGG16:
    made = VGG16(preprocessing, 2, width=8)
    made.load_state_dict(random_state(made, seed), assign=True)
    return made


def test_the_second_epoch_and_the_second_run_convolve_nothing(
    vgg: Vgg16, tiny_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = vgg.get_batches(tiny_set / "train", batch_size=8)
    vgg.finetune(batches)
    counts = convolved(vgg, monkeypatch)
    vgg.fit(batches, None, nb_epoch=2)
    assert sum(counts) == 24
    vgg.fit(batches, None, nb_epoch=1)
    assert sum(counts) == 24
    other = Vgg16("none", size=32, width=8, cache=vgg.cache, report=Quiet())
    again = other.get_batches(tiny_set / "train", batch_size=8)
    other.finetune(again)
    counts = convolved(other, monkeypatch)
    other.fit(again, None, nb_epoch=1)
    assert counts == []


def test_cached_features_are_what_the_convolutions_give(vgg: Vgg16, tiny_set: Path) -> None:
    batches = vgg.get_batches(tiny_set / "train", batch_size=8)
    vgg.finetune(batches)
    vgg.unfreeze("classifier")
    for features, rows in vgg.source(batches).epoch(0):
        assert features.dtype == torch.float16
        images = next(images for images, _ in batches.load([rows.numpy()]))
        with torch.inference_mode():
            expected = vgg.model.convolve(images)
        torch.testing.assert_close(features.float(), expected, rtol=1e-3, atol=1e-3)


def test_a_changed_picture_is_convolved_again_and_a_renamed_one_is_not(
    vgg: Vgg16, tiny_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = vgg.get_batches(tiny_set / "train", batch_size=8)
    vgg.finetune(batches)
    vgg.source(batches)
    counts = convolved(vgg, monkeypatch)
    dark = tiny_set / "train" / "dark"
    (dark / "dark.0.png").rename(dark / "renamed.png")
    (dark / "dark.1.png").write_bytes((tiny_set / "valid" / "dark" / "dark.1.png").read_bytes())
    vgg.source(vgg.get_batches(tiny_set / "train", batch_size=8))
    assert sum(counts) == 1


def test_other_weights_preprocessing_and_precision_have_caches_of_their_own(tmp_path: Path) -> None:
    paths = {
        FeatureCache(tmp_path, net(), "fp32").path,
        FeatureCache(tmp_path, net(seed=1), "fp32").path,
        FeatureCache(tmp_path, net(CAFFE.at(32)), "fp32").path,
        FeatureCache(tmp_path, net(RANDOM.at(64)), "fp32").path,
        FeatureCache(tmp_path, net(), "bf16").path,
    }
    assert len(paths) == 5
    assert FeatureCache(tmp_path, net(), "fp32").path in paths


@pytest.mark.parametrize("lost", ["half a key", "half a row", "a row", "everything but keys"])
def test_a_cache_cut_off_in_the_middle_keeps_its_whole_rows(lost: str, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, net(), "fp32")
    keys = [f"{number:032x}" for number in range(4)]
    rows = torch.randn(4, cache.width)
    with cache.writer() as append:
        append(keys, rows)
    features, names = cache.path / "0.f16", cache.path / "0.keys"
    row = 2 * cache.width
    if lost == "half a key":
        names.write_bytes(names.read_bytes()[:-10])
    else:
        keep = {"half a row": 4 * row - 7, "a row": 3 * row, "everything but keys": 0}[lost]
        features.write_bytes(features.read_bytes()[:keep])
    cache.read()
    whole = 0 if lost == "everything but keys" else 3
    assert [key in cache for key in keys] == [number < whole for number in range(4)]
    with cache.writer() as append:
        append(keys[whole:], rows[whole:])
    cache.read()
    torch.testing.assert_close(cache.rows(keys).float(), rows, rtol=1e-3, atol=1e-3)


def test_two_processes_write_side_by_side(tmp_path: Path) -> None:
    one, other = (FeatureCache(tmp_path, net(), "fp32") for _ in range(2))
    rows = torch.randn(2, one.width)
    with one.writer() as first, other.writer() as second:
        first(["a" * 32], rows[:1])
        second(["b" * 32], rows[1:])
    one.read()
    torch.testing.assert_close(one.rows(["a" * 32, "b" * 32]).float(), rows, rtol=1e-3, atol=1e-3)


def test_the_cache_is_off_by_itself_where_features_change(vgg: Vgg16, tiny_set: Path) -> None:
    plain = vgg.get_batches(tiny_set / "train", batch_size=8)
    varied = vgg.get_batches(tiny_set / "train", Augment(), batch_size=8)
    vgg.finetune(plain)
    assert next(vgg.source(plain).epoch(0))[0].dim() == 2
    assert next(vgg.source(varied).epoch(0))[0].dim() == 4
    vgg.unfreeze("classifier")
    assert next(vgg.source(plain).epoch(0))[0].dim() == 2
    vgg.unfreeze("all")
    assert next(vgg.source(plain).epoch(0))[0].dim() == 4


def test_features_held_in_the_gpu_s_memory_are_those_on_the_disk(
    vgg: Vgg16, tiny_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = vgg.get_batches(tiny_set / "train", batch_size=10)
    vgg.finetune(batches)
    (tiny_set / "train" / "light" / "light.2.png").write_bytes(b"")
    from_disk = list(vgg.source(batches).epoch(1))
    monkeypatch.setattr("vgg16.cache._reader", transfer.reader)  # as for a GPU
    monkeypatch.setattr(transfer, "_free_bytes", lambda device: 1 << 40)
    source = vgg.source(batches)
    monkeypatch.setattr(FeatureCache, "rows", None)  # nothing is read from the disk any more
    held = list(source.epoch(1))
    assert [rows.tolist() for _, rows in held] == [rows.tolist() for _, rows in from_disk]
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(held, from_disk, strict=True))


def test_a_batch_is_appended_while_the_next_one_is_computed_and_the_last_one_at_the_end() -> None:
    done: list[str] = []
    with transfer.Behind(lambda keys, rows: done.extend(keys)) as append:
        append(["a"], torch.zeros(1, 2))
        assert done == []
        append(["b"], torch.zeros(1, 2))
        assert done == ["a"]
    assert done == ["a", "b"]
    with pytest.raises(OSError), transfer.Behind(lambda keys, rows: done.extend(keys)) as append:
        append(["c"], torch.zeros(1, 2))
        raise OSError
    assert done == ["a", "b"]


def test_dropout_stays_live_behind_the_cache(vgg: Vgg16, tiny_set: Path) -> None:
    batches = vgg.get_batches(tiny_set / "train", batch_size=8)
    vgg.finetune(batches)
    source = vgg.source(batches, training=True)
    rows, _ = next(source.epoch(0))
    vgg.model.train()
    with torch.no_grad():
        assert not torch.equal(vgg.model(rows, source.start), vgg.model(rows, source.start))


def test_what_the_cache_spares_changes_no_logit(vgg: Vgg16, tiny_set: Path) -> None:
    batches = vgg.get_batches(tiny_set / "train", batch_size=8)
    vgg.finetune(batches)
    vgg.unfreeze("classifier")
    whole = vgg.source(batches)
    vgg.unfreeze("last")
    for training, start in ((True, 2), (False, 6)):
        source = vgg.source(batches, training=training)
        assert (whole.start, source.start) == (0, start)
        vgg.model.train(training)
        for (features, rows), (inputs, same_rows) in zip(whole.epoch(0), source.epoch(0), strict=True):
            assert torch.equal(rows, same_rows)
            with torch.no_grad():
                torch.manual_seed(1)
                expected = vgg.model(features.float())
                torch.manual_seed(1)
                found = vgg.model(inputs, source.start)
                # A product of 24 rows may be summed up in another order than one of 8.
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_only_the_smaller_rows_are_kept_if_the_last_layer_alone_is_trained(
    vgg: Vgg16, tiny_set: Path
) -> None:
    batches = vgg.get_batches(tiny_set / "train", batch_size=8)
    vgg.finetune(batches)
    vgg.fit(batches, batches, nb_epoch=1)
    assert vgg.cache is not None
    kept = sum(file.stat().st_size for file in vgg.cache.rglob("*.f*"))
    assert kept == 24 * vgg.model.hidden_count * 4  # fp32 on a CPU


def test_cached_convolutions_are_used_for_the_layer_after_them(
    vgg: Vgg16, tiny_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = vgg.get_batches(tiny_set / "train", batch_size=8)
    vgg.finetune(batches)
    vgg.unfreeze("classifier")
    vgg.fit(batches, None, nb_epoch=1)  # which changes the first linear layer
    vgg.finetune(batches)
    counts = convolved(vgg, monkeypatch)
    before = [inputs for inputs, _ in vgg.source(batches, training=True).epoch(0)]
    assert counts == []
    with torch.no_grad():
        vgg.model.classifier[0].weight.mul_(2)
    after = [inputs for inputs, _ in vgg.source(batches, training=True).epoch(0)]
    assert not torch.equal(before[0], after[0]), "a row belongs to the weights that made it"
    assert counts == []


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_linear_layer_s_outputs_are_kept_as_they_were_computed(tmp_path: Path, precision: str) -> None:
    cache = FeatureCache(tmp_path, net(), precision, hidden=True)
    rows = torch.rand(3, cache.width).to(cache.dtype)
    with cache.writer() as append:
        append([letter * 32 for letter in "abc"], rows)
    cache.read()
    assert torch.equal(cache.rows(["c" * 32, "a" * 32]), rows[[2, 0]])


def test_a_full_disk_costs_the_cache_and_no_training(
    tiny_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = Vgg16("none", size=32, width=8, cache=None)
    batches = expected.get_batches(tiny_set / "train", batch_size=8)
    expected.finetune(batches)
    losses = [epoch.train_loss for epoch in expected.fit(batches, None, nb_epoch=2)]
    vgg = Vgg16("none", size=32, width=8, cache=tmp_path / "cache")
    batches = vgg.get_batches(tiny_set / "train", batch_size=8)
    vgg.finetune(batches)
    capsys.readouterr()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))  # three of 24 rows
        history = vgg.fit(batches, None, nb_epoch=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert f"features are not kept ({tmp_path}/cache: File too large): every" in capsys.readouterr().out
    assert [epoch.train_loss for epoch in history] == losses


def test_values_beyond_half_precision_are_not_kept_as_infinities(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, net(), "fp32")
    with cache.writer() as append, pytest.raises(TrainingFailed, match="beyond 65504"):
        append(["a" * 32], torch.full((1, cache.width), 1e5))
    cache.read()
    assert "a" * 32 not in cache


def test_features_are_kept_on_scratch_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("VGG16_CACHE")
    assert default_root() == tmp_path / ".cache" / "vgg16"
    (tmp_path / "scratch").mkdir()
    assert default_root() == tmp_path / "scratch" / "vgg16"
    monkeypatch.setenv("VGG16_CACHE", "~/mine")
    assert default_root() == tmp_path / "mine"
