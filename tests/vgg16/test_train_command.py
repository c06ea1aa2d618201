"""`python -m vgg16`, as `gpu-box train` runs it."""

from __future__ import annotations

import csv
import errno
import itertools
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vgg16.__main__ import main
from vgg16.data import faces
from vgg16.ending import Ended, listen
from vgg16.model import VGG16
from vgg16.report import ProgressReport
from vgg16.run import Settings, train
from vgg16.train import Report, Trainer


@pytest.fixture
def small(tiny_set: Path, tmp_path: Path) -> Settings:
    return Settings(
        data=tiny_set,
        results=tmp_path / "results",
        epochs=10,
        batch_size=8,
        image_size=32,
        weights="none",
        lr=0.004,
        cache=tmp_path / "cache",
        width=8,
    )


class Kept(Report):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def progress(text: str) -> list[dict[str, object]]:
    mark = "@progress "
    return [json.loads(line.removeprefix(mark)) for line in text.splitlines() if line.startswith(mark)]


def test_the_demo_says_that_its_convolutions_are_random(
    face_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """How well it tells faces from other things, a box's story asserts."""
    results = tmp_path / "results"
    words = ["train", "--data", str(face_set), "--results", str(results), "--preset", "demo"]
    assert main([*words, "--epochs", "1"]) == 0
    out = capsys.readouterr().out
    summary = json.loads((results / "summary.json").read_text())
    assert f"held-out accuracy: {summary['held_out_accuracy']:.1%} (40 pictures; chance is 50%)" in out
    assert "random weights (no ImageNet), 48x48" in out


def test_a_run_leaves_figures_pictures_and_a_submission(
    small: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = train(small, ProgressReport(dollars_per_hour=0.5))
    lines = [json.loads(line) for line in (small.results / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 11))
    assert {
        "train_loss",
        "train_accuracy",
        "valid_loss",
        "valid_accuracy",
        "seconds",
        "images_per_s",
        "lr",
    } < set(lines[0])
    assert summary["images"] == {"train": 24, "valid": 8, "test": 4}
    for name in ("curves.png", "confusion.png", "examples.png"):
        with Image.open(small.results / name) as picture:
            picture.verify()
    with (small.results / "submission.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    light = [float(row["label"]) > 0.5 for row in rows]
    assert light == [False, True, False, True]  # the label is the probability of the second class
    reported = progress(capsys.readouterr().out)
    last_of_fit = [line for line in reported if line["phase"] == "fit"][-1]
    assert last_of_fit["epoch"] == last_of_fit["epochs"] == 10
    assert last_of_fit["step"] == last_of_fit["steps"] == 3
    assert {"loss", "accuracy", "images_per_s", "seconds_left", "dollars"} < set(last_of_fit)
    assert {line["phase"] for line in reported} == {"features", "fit", "predict"}


def test_the_time_left_counts_neither_an_earlier_run_s_epochs_nor_another_part_s_pictures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("vgg16.report.time.monotonic", lambda: now[0])
    report = ProgressReport(dollars_per_hour=3.6)

    def steps(phase: str, first: int, last: int, *, epoch: int, epochs: int, steps: int) -> dict[str, object]:
        for step in range(first, last + 1):
            now[0] += 1
            report.step(phase, epoch=epoch, epochs=epochs, step=step, steps=steps)
        return progress(capsys.readouterr().out)[-1]

    assert steps("features", 1, 50, epoch=1, epochs=1, steps=100)["seconds_left"] == 50
    steps("features", 51, 100, epoch=1, epochs=1, steps=100)
    assert steps("features", 1, 5, epoch=1, epochs=1, steps=10)["seconds_left"] == 5  # the held-out pictures
    # Resumed after three epochs of four: one second a step, as always.
    line = steps("fit", 1, 4, epoch=4, epochs=4, steps=10)
    assert line["seconds_left"] == 6
    assert line["dollars"] == pytest.approx(0.109)  # 109 s at a tenth of a cent


Events = dict[tuple[int, int], Callable[[], object]]


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Iterator[Events]:
    """What happens once, in the middle of a training step: (epoch, step) -> a call."""
    events: Events = {}
    before, step = signal.getsignal(signal.SIGTERM), Trainer._step
    steps: list[tuple[Trainer, int]] = []

    def eventful(trainer: Trainer, *arguments: Any) -> None:
        steps.append((trainer, trainer.done))
        number = steps.count(steps[-1])
        if event := events.pop((trainer.done + 1, number), None):
            event()
        step(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_step", eventful)
    yield events
    signal.signal(signal.SIGTERM, before)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("layers", ["last", "all"])
def test_sigterm_saves_in_the_middle_of_an_epoch_and_the_rest_is_the_uninterrupted_run_bit_for_bit(
    layers: str, small: Settings, tmp_path: Path, at_step: Events
) -> None:
    (small.data / "train" / "light" / "light.3.png").write_bytes(b"broken")  # fewer pictures in one step
    settings = replace(small, layers=layers, epochs=3)
    train(replace(settings, results=tmp_path / "whole"), Report())
    listen()
    at_step[(2, 1)] = terminate
    with pytest.raises(Ended) as ended:
        train(settings, Report())
    assert str(ended.value) == (
        "ended by SIGTERM after step 1 of epoch 2, which is kept: --resume goes on from there"
    )
    assert not (settings.results / "summary.json").exists()
    listen()
    report = Kept()
    train(replace(settings, resume=True), report)
    assert "resumed after step 1 of epoch 2" in report.lines
    assert same_run(tmp_path / "whole", settings.results)


def same_run(one: Path, other: Path) -> bool:
    """The same weights, Adam's moments and figures, bit for bit; only times may differ."""
    first, second = (torch.load(each / "checkpoint.pt", weights_only=True) for each in (one, other))
    for state in (first, second):
        for epoch in state["history"]:
            del epoch["seconds"], epoch["images_per_s"]
    assert len(first["history"]) == 3 and first["history"] == second["history"]
    moments = zip(first["optimizer"]["state"].values(), second["optimizer"]["state"].values(), strict=True)
    pairs = [(first["trained"][name], second["trained"][name]) for name in first["trained"]]
    pairs += [(ours[name], theirs[name]) for ours, theirs in moments for name in ours]
    return all(torch.equal(*pair) for pair in pairs)


def test_sigterm_during_the_last_step_of_an_epoch_keeps_that_step(small: Settings, at_step: Events) -> None:
    listen()
    at_step[(2, 3)] = terminate
    with pytest.raises(Ended, match="after step 3 of epoch 2, which is kept"):
        train(replace(small, epochs=3), Report())


@pytest.fixture
def at_call(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int], list[int]]]:
    """SIGTERM during a later call of a method of VGG16 without dropout; the calls' numbers of pictures."""
    before = signal.getsignal(signal.SIGTERM)

    def watch(name: str, number: int) -> list[int]:
        method, sizes = getattr(VGG16, name), list[int]()

        def eventful(net: VGG16, inputs: Tensor, *arguments: Any) -> Tensor:
            if not net.training:
                sizes.append(len(inputs))
                if len(sizes) == number:
                    terminate()
            return method(net, inputs, *arguments)

        monkeypatch.setattr(VGG16, name, eventful)
        listen()
        return sizes

    yield watch
    signal.signal(signal.SIGTERM, before)


def test_sigterm_while_features_are_computed_keeps_those_that_are_done(
    small: Settings, at_call: Callable[[str, int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vgg16.cache._FEATURE_BATCH", {"cpu": 4})
    convolved = at_call("convolve", 2)
    with pytest.raises(Ended) as ended:
        train(small, Report())
    assert str(ended.value) == "ended by SIGTERM before training began; features computed so far are kept"
    assert convolved == [4, 4]
    convolved = at_call("convolve", 0)
    train(replace(small, epochs=1), Report())
    assert convolved == [4] * 4 + [4] * 2 + [4]  # the rest, held-out and test pictures


def test_sigterm_while_held_out_pictures_are_evaluated_keeps_the_pass_before_it(
    small: Settings, tmp_path: Path, at_call: Callable[[str, int], list[int]]
) -> None:
    settings = replace(small, layers="all", epochs=3, batch_size=2)
    train(replace(settings, results=tmp_path / "whole"), Report())
    evaluated = at_call("forward", 3)  # of two batches an epoch
    with pytest.raises(Ended) as ended:
        train(settings, Report())
    assert str(ended.value) == (
        "ended by SIGTERM after step 12 of epoch 2, which is kept: --resume goes on from there"
    )
    assert evaluated == [4, 4, 4]
    listen()
    train(replace(settings, resume=True), Report())
    assert same_run(tmp_path / "whole", settings.results)


def test_sigterm_after_the_last_epoch_leaves_the_predictions_to_a_resumed_run(
    small: Settings, at_call: Callable[[str, int], list[int]]
) -> None:
    settings = replace(small, layers="all", epochs=1, batch_size=2)
    predicted = at_call("forward", 3)
    with pytest.raises(Ended, match="ended by SIGTERM after epoch 1, which is kept: --resume"):
        train(settings, Report())
    assert predicted == [4, 4, 4]
    listen()
    assert train(replace(settings, resume=True), Report())["epochs"] == 1


def test_a_spot_machine_at_risk_makes_training_save_once_and_go_on(
    small: Settings, tmp_path: Path, at_step: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    risk, kept, report = tmp_path / "save", tmp_path / "kept", Kept()
    kept.mkdir()
    monkeypatch.setenv("GPU_BOX_SAVE", str(risk))
    listen()
    at_step[(1, 1)] = lambda: risk.write_text("1764400000\n")
    at_step[(1, 3)] = lambda: shutil.copy(small.results / "checkpoint.pt", kept)
    settings = replace(small, epochs=3)
    train(settings, report)
    said = [line for line in report.lines if "checkpoint" in line]
    assert said == ["checkpoint after step 1 of epoch 1: AWS may take this spot machine back soon"]
    again = Kept()
    train(replace(settings, results=kept, resume=True), again)
    assert "resumed after step 1 of epoch 1" in again.lines
    assert same_run(small.results, kept)


def test_a_training_that_was_ended_has_the_exit_status_of_sigterm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object) -> None:
        raise Ended("ended by SIGTERM after epoch 2")

    monkeypatch.setattr("vgg16.run.train", ended)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["train", "--data", str(tmp_path), "--results", str(tmp_path)]) == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == "ended by SIGTERM after epoch 2\n"


def test_a_run_that_begins_anew_leaves_no_older_one_to_go_on_from(small: Settings) -> None:
    train(replace(small, epochs=2), ProgressReport())

    class Cut(ProgressReport):
        def step(self, kind: str, **figures: object) -> None:
            if kind == "fit":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(replace(small, epochs=2), Cut())
    assert not (small.results / "checkpoint.pt").exists()


def scalars(results: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard's own reader finds, by tag: (step, value)."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(results / "tensorboard"))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def test_tensorboard_reads_loss_and_accuracy_of_each_epoch_also_of_a_resumed_and_of_a_new_run(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of docs/project.md."""
    pytest.importorskip("tensorboard", reason="needs the package tensorboard")
    monkeypatch.setattr("vgg16.run._finish", lambda *arguments: {})  # pictures and predictions
    train(replace(small, epochs=2), Report())
    train(replace(small, epochs=3, resume=True), Report())
    lines = [json.loads(line) for line in (small.results / "metrics.jsonl").read_text().splitlines()]
    for part, kind in itertools.product(("train", "valid"), ("loss", "accuracy")):
        wanted = [(line["epoch"], pytest.approx(line[f"{part}_{kind}"], abs=1e-6)) for line in lines]
        assert scalars(small.results)[f"{kind}/{part}"] == wanted
    train(replace(small, epochs=1), Report())
    assert [step for step, _ in scalars(small.results)["loss/train"]] == [1]


@pytest.mark.parametrize("broken", [ImportError("no grpc here"), OSError(errno.ENOSPC, "No space left")])
def test_a_tensorboard_that_fails_does_not_end_the_training(
    small: Settings, monkeypatch: pytest.MonkeyPatch, broken: Exception
) -> None:
    def fail(*arguments: object) -> None:
        raise broken

    monkeypatch.setattr("vgg16.scalars.find_spec", lambda name: True)
    monkeypatch.setattr("vgg16.scalars.Scalars._open", fail)
    kept = Kept()
    assert train(replace(small, epochs=1), kept)["epochs"] == 1
    assert f"no scalars for TensorBoard ({broken}); training goes on" in kept.lines


def test_the_same_seed_gives_the_same_figures(small: Settings, tmp_path: Path) -> None:
    from dataclasses import replace

    def figures(settings: Settings) -> list[tuple[float, float]]:
        train(settings, ProgressReport())
        lines = (settings.results / "metrics.jsonl").read_text().splitlines()
        return [(json.loads(line)["train_loss"], json.loads(line)["valid_loss"]) for line in lines]

    first = figures(small)
    assert figures(replace(small, results=tmp_path / "again", cache=tmp_path / "other")) == first
    assert figures(replace(small, results=tmp_path / "third", seed=1)) != first


def test_faces_are_prepared_once_and_split_the_same_way(
    face_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "faces"
    assert main(["data", "faces", "--to", str(again)]) == 0
    assert main(["data", "faces", "--to", str(again)]) == 0
    assert "already there" in capsys.readouterr().out
    files = sorted(path.relative_to(again) for path in again.rglob("*.png"))
    assert len(files) == 200
    assert all((again / file).read_bytes() == (face_set / file).read_bytes() for file in files)
    contents = {path.read_bytes() for path in again.rglob("*.png")}
    assert len(contents) == 200  # no photograph is both learned from and checked on


def test_trainings_that_start_at_once_share_the_faces_of_the_faster_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["data", "faces", "--to", str(tmp_path / "faces")]
    photographs = faces._photographs

    def slow() -> np.ndarray:
        monkeypatch.setattr(faces, "_photographs", photographs)
        assert main(words) == 0, "the faster one"
        return photographs()

    monkeypatch.setattr(faces, "_photographs", slow)
    assert main(words) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]
    assert len([*(tmp_path / "faces").rglob("*.png")]) == 200


def test_faces_never_overwrite_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert main(["data", "faces", "--to", str(tmp_path)]) == 1
    assert "holds something else" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_missing_data_set_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--data", str(tmp_path / "no"), "--results", str(tmp_path / "r"), "--preset", "demo"]
    assert main(words) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}/no/train: no such folder\n"


def test_a_disk_that_takes_nothing_is_one_clear_line(
    small: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "--data", str(small.data), "--results", str(tmp_path / "file"), "--preset", "demo"]
    (tmp_path / "file").write_text("in the way")
    assert main(words) == 1
    line = f"error: {tmp_path}/file: File exists\n"
    assert capsys.readouterr().err == line
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def no_space(path: Path, text: str) -> None:
        raise full

    # Of the figures of an epoch alone: the next epoch's file has them too.
    monkeypatch.setattr("vgg16.run.write_text", no_space)
    with pytest.raises(OSError, match="No space"):  # the summary, at the very end
        train(small, ProgressReport())
    assert "figures not written (No space left on device); training goes on" in capsys.readouterr().out
    assert (small.results / "checkpoint.pt").exists()
