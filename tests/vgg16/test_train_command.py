"""`python -m vgg16`, as `gpu-box train` runs it."""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from vgg16.__main__ import main
from vgg16.report import ProgressReport
from vgg16.run import Settings, train


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
    told = progress(capsys.readouterr().out)
    last_of_fit = [line for line in told if line["phase"] == "fit"][-1]
    assert last_of_fit["epoch"] == last_of_fit["epochs"] == 10
    assert last_of_fit["step"] == last_of_fit["steps"] == 3
    assert {"loss", "accuracy", "images_per_s", "seconds_left", "dollars"} < set(last_of_fit)
    assert {line["phase"] for line in told} == {"features", "fit", "predict"}


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
    told = steps("fit", 1, 4, epoch=4, epochs=4, steps=10)
    assert told["seconds_left"] == 6
    assert told["dollars"] == pytest.approx(0.109)  # 109 s at a tenth of a cent


def test_a_training_that_is_told_to_end_keeps_its_epoch_and_goes_on_from_it(
    small: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "--data", str(small.data), "--results", str(small.results), "--weights", "none"]
    words += ["--image-size", "32", "--batch-size", "8", "--epochs", "3", "--cache", str(tmp_path / "cache")]

    class Told(ProgressReport):
        """AWS takes the machine back in the middle of the second epoch."""

        def step(self, kind: str, *, epoch: int, **figures: object) -> None:
            if kind == "fit" and epoch == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("vgg16.report.ProgressReport", Told)
        before = signal.getsignal(signal.SIGTERM)
        try:
            assert main(words) == 143
        finally:
            signal.signal(signal.SIGTERM, before)
    said = capsys.readouterr().err
    assert said == "ended by SIGTERM after epoch 2, which is kept: --resume goes on from there\n"
    assert not (small.results / "summary.json").exists()
    assert main([*words, "--resume"]) == 0
    assert "resumed after epoch 2" in capsys.readouterr().out
    assert len((small.results / "metrics.jsonl").read_text().splitlines()) == 3


def test_a_run_that_begins_anew_leaves_no_older_one_to_go_on_from(small: Settings) -> None:
    train(replace(small, epochs=2), ProgressReport())

    class Cut(ProgressReport):
        def step(self, kind: str, **figures: object) -> None:
            if kind == "fit":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(replace(small, epochs=2), Cut())
    assert not (small.results / "checkpoint.pt").exists()


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


def test_faces_never_overwrite_somebody_s_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    line = f"error: {tmp_path}/file: File exists; --resume goes on from the last finished epoch\n"
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
