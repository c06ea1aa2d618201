"""The class of the lesson means what it meant in 2017."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vgg16 import BadData, TrainingFailed, Vgg16


@pytest.fixture
def vgg(tmp_path: Path) -> Vgg16:
    return Vgg16("none", size=32, width=8, cache=tmp_path / "cache")


def test_the_seven_lines(
    tiny_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VGG16_WEIGHTS", "none")
    monkeypatch.setenv("VGG16_SIZE", "32")
    monkeypatch.setitem(Vgg16.__init__.__kwdefaults__, "width", 8)
    monkeypatch.setitem(Vgg16.__init__.__kwdefaults__, "cache", tmp_path / "cache")

    path = f"{tiny_set}/"
    batch_size = 8
    vgg = Vgg16()
    batches = vgg.get_batches(path + "train", batch_size=batch_size)
    val_batches = vgg.get_batches(path + "valid", batch_size=batch_size * 2)
    vgg.finetune(batches)
    vgg.fit(batches, val_batches, nb_epoch=1)

    out = capsys.readouterr().out.splitlines()
    assert out[:2] == [
        "Found 24 images belonging to 2 classes.",
        "Found 8 images belonging to 2 classes.",
    ]
    assert out[2].startswith("epoch 1/1: loss ")
    assert vgg.classes == ["dark", "light"]


def test_before_finetuning_the_classes_are_imagenet_s(vgg: Vgg16) -> None:
    assert len(vgg.classes) == 1000
    assert (vgg.classes[0], vgg.classes[281], vgg.classes[999]) == ("tench", "tabby", "toilet tissue")


def test_finetune_trains_the_last_layer_only_with_adam(vgg: Vgg16, tiny_set: Path) -> None:
    vgg.finetune(vgg.get_batches(tiny_set / "train"))
    assert vgg.trainer is not None
    assert [p.shape for p in vgg.trainer.parameters] == [(2, 512), (2,)]
    assert isinstance(vgg.trainer.optimizer, torch.optim.Adam)
    assert vgg.trainer.optimizer.param_groups[0]["lr"] == 0.001
    vgg.compile(lr=0.01)
    assert vgg.trainer.optimizer.param_groups[0]["lr"] == 0.01


def test_ft_takes_any_number_of_classes(vgg: Vgg16) -> None:
    vgg.ft(7)
    assert vgg.model.last.out_features == 7


def test_fit_goes_on_where_it_was(vgg: Vgg16, tiny_set: Path) -> None:
    batches = vgg.get_batches(tiny_set / "train", batch_size=8)
    vgg.finetune(batches)
    assert [epoch.epoch for epoch in vgg.fit(batches, None, nb_epoch=2)] == [1, 2]
    assert [epoch.epoch for epoch in vgg.fit(batches, None, nb_epoch=1)] == [3]


def test_predict_gives_best_probability_class_number_and_name(
    vgg: Vgg16, tiny_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = vgg.get_batches(tiny_set / "train", batch_size=8, shuffle=False)
    vgg.finetune(batches)
    vgg.compile(lr=0.003)
    vgg.fit(batches, None, nb_epoch=15)
    imgs, _ = next(batches)
    capsys.readouterr()
    best, numbers, names = vgg.predict(imgs, True)
    assert best.shape == numbers.shape == (8,)
    assert ((best >= 0.5) & (best <= 1)).all()
    assert names == ["dark"] * 8 and numbers.tolist() == [0] * 8
    assert capsys.readouterr().out.splitlines()[0] == f"  {best[0]:.4f}/dark"
    # As floats, as the lesson's arrays were: the same answer.
    assert vgg.predict(imgs.astype(np.float32))[0] == pytest.approx(best)


def test_test_gives_file_names_in_order_and_probabilities(vgg: Vgg16, tiny_set: Path) -> None:
    batches = vgg.get_batches(tiny_set / "train", batch_size=8)
    vgg.finetune(batches)
    test_batches, probabilities = vgg.test(tiny_set / "test", batch_size=3)
    assert test_batches.filenames == [f"unknown/{number}.png" for number in (1, 2, 3, 4)]
    assert probabilities.shape == (4, 2)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(4))
    # Each row is its own file's: asked for one by one, the answers are the same.
    for row, (images, _) in enumerate(test_batches.load([np.array([row]) for row in range(4)])):
        best, numbers, _ = vgg.predict(images.numpy())
        assert probabilities[row, numbers[0]] == pytest.approx(best[0], abs=2e-3)


def test_an_unreadable_test_picture_gets_even_odds_and_is_named(
    vgg: Vgg16, tiny_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny_set / "test" / "unknown" / "2.png").write_bytes(b"")
    vgg.finetune(vgg.get_batches(tiny_set / "train"))
    _, probabilities = vgg.test(tiny_set / "test")
    assert probabilities[1].tolist() == [0.5, 0.5]
    assert "left out: " in capsys.readouterr().out


def test_fit_data_takes_arrays(vgg: Vgg16, tiny_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batches = vgg.get_batches(tiny_set / "train", batch_size=24, shuffle=False)
    vgg.finetune(batches)
    imgs, labels = next(batches)
    capsys.readouterr()
    history = vgg.fit_data(imgs, labels, imgs, labels.argmax(1), nb_epoch=2, batch_size=8)
    lines = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["epoch 1/2", "epoch 2/2"]
    assert [epoch.epoch for epoch in history] == [1, 2]
    assert history[1].valid_loss is not None


def test_cached_and_uncached_training_agree(tiny_set: Path, tmp_path: Path) -> None:
    def losses(cache: Path | None) -> list[float]:
        vgg = Vgg16("none", size=32, width=8, cache=cache)
        batches = vgg.get_batches(tiny_set / "train", batch_size=8)
        vgg.finetune(batches)
        return [epoch.train_loss for epoch in vgg.fit(batches, None, nb_epoch=3)]

    assert losses(tmp_path / "cache") == pytest.approx(losses(None), rel=5e-3)


def test_one_class_only_is_refused(vgg: Vgg16, tiny_set: Path) -> None:
    with pytest.raises(BadData, match=r"one class only \(unknown\)"):
        vgg.finetune(vgg.get_batches(tiny_set / "test"))


def test_pictures_prepared_for_other_weights_are_refused(vgg: Vgg16, tiny_set: Path) -> None:
    other = Vgg16("none", size=64, width=8, cache=None)
    batches = other.get_batches(tiny_set / "train")
    with pytest.raises(BadData, match=r"made for none weights .64x64.*this network has .*32x32"):
        vgg.finetune(batches)
    vgg.ft(2)
    with pytest.raises(BadData, match="take its own, get_batches"):
        vgg.fit(batches, None)


def test_fit_before_finetune_says_what_is_missing(vgg: Vgg16, tiny_set: Path) -> None:
    with pytest.raises(TrainingFailed, match="finetune"):
        vgg.fit(vgg.get_batches(tiny_set / "train"), None)
