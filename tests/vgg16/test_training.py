"""The loop: resumed bit for bit, repeatable, and honest when it cannot go on."""

from __future__ import annotations

import json
import resource
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vgg16.data import nvdecode
from vgg16.data.sources import Source
from vgg16.errors import Problem, TrainingFailed
from vgg16.evaluate import evaluate, predict
from vgg16.precision import choose
from vgg16.report import Report
from vgg16.run import Settings, train
from vgg16.speed import compiling_pays
from vgg16.train import Trainer


class Kept(Report):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def settings(tiny_set: Path, tmp_path: Path) -> Settings:
    return Settings(
        data=tiny_set,
        results=tmp_path / "whole",
        epochs=4,
        batch_size=8,
        image_size=32,
        weights="none",
        lr=0.003,
        cache=tmp_path / "cache",
        width=8,
    )


def trained(results: Path) -> tuple[dict[str, Tensor], list[list[float]]]:
    state = torch.load(results / "checkpoint.pt", weights_only=True)
    lines = [json.loads(line) for line in (results / "metrics.jsonl").read_text().splitlines()]
    figures = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")
    return state["trained"], [[line[name] for name in figures] for line in lines]


@pytest.mark.parametrize("layers", ["last", "all"])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    layers: str, settings: Settings, tmp_path: Path
) -> None:
    settings = replace(settings, layers=layers)
    train(settings, Kept())
    broken = replace(settings, results=tmp_path / "broken")
    train(replace(broken, epochs=2), Kept())
    report = Kept()
    train(replace(broken, resume=True), report)
    assert "resumed after epoch 2" in report.lines
    (whole, figures), (resumed, resumed_figures) = trained(settings.results), trained(broken.results)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert resumed_figures == figures and len(figures) == 4


def test_a_checkpoint_of_another_run_is_refused(settings: Settings) -> None:
    train(replace(settings, epochs=1), Kept())
    with pytest.raises(Problem, match="(?s)of another run.*batches of 8.*batches of 4.*Without --resume"):
        train(replace(settings, resume=True, batch_size=4), Kept())


def test_resuming_where_nothing_was_begins(settings: Settings) -> None:
    report = Kept()
    train(replace(settings, epochs=1, resume=True), report)
    assert any("nothing to resume" in line for line in report.lines)


def test_layers_that_are_frozen_do_not_move_and_the_others_do(settings: Settings) -> None:
    train(replace(settings, epochs=1), Kept())
    assert {name for name in trained(settings.results)[0]} == {"classifier.6.weight", "classifier.6.bias"}
    train(replace(settings, epochs=1, layers="all", cache=None), Kept())
    assert len(trained(settings.results)[0]) == 32


def test_a_full_disk_costs_one_checkpoint_and_no_training(settings: Settings) -> None:
    train(replace(settings, epochs=1), Kept())
    before = (settings.results / "checkpoint.pt").read_bytes()
    report = Kept()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        from vgg16 import checkpoint, lesson

        vgg = lesson.Vgg16("none", size=32, width=8, cache=settings.cache, report=report)
        vgg.finetune(vgg.get_batches(settings.data / "train"))
        assert vgg.trainer is not None
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, old[1]))
        checkpoint.save(settings.results / "checkpoint.pt", vgg.trainer, [], "x", report.say)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert any("checkpoint not written" in line and "training goes on" in line for line in report.lines)
    assert (settings.results / "checkpoint.pt").read_bytes() == before
    assert not list(settings.results.glob(".*.new"))


def linear_source(count: int = 32, batch: int = 8) -> Source:
    random = np.random.default_rng(0)
    inputs = torch.from_numpy(random.normal(size=(count, 6)).astype(np.float32))
    labels = (inputs[:, 0] > 0).long().numpy()

    def epoch(number: int):
        for at in range(0, count, batch):
            rows = torch.arange(at, min(at + batch, count))
            yield inputs[rows], rows

    return Source(count, -(-count // batch), labels, epoch)


def trainer(net: nn.Module, report: Report, lr: float = 0.01) -> Trainer:
    return Trainer(net, choose("fp32", torch.device("cpu")), report, lr=lr, seed=0)


class Crowded(nn.Module):
    """Runs out of memory with more than `room` pictures at once, in the middle of a forward, as a GPU."""

    def __init__(self, room: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.room = nn.Linear(6, 2), room

    def forward(self, inputs: Tensor) -> Tensor:
        if torch.is_grad_enabled() and len(inputs) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.layer(inputs)


def test_out_of_memory_halves_what_is_worked_at_once_and_changes_no_figure() -> None:
    roomy, crowded, report = Crowded(1000), Crowded(3), Kept()
    expected = list(trainer(roomy, Kept()).fit(linear_source(), None, 3))
    figures = list(trainer(crowded, report).fit(linear_source(), None, 3))
    assert report.lines == [
        "out of memory: from here on 4 pictures at once, same batch size",
        "out of memory: from here on 2 pictures at once, same batch size",
    ]
    assert [f.train_loss for f in figures] == pytest.approx([f.train_loss for f in expected], rel=1e-5)
    torch.testing.assert_close(crowded.layer.weight, roomy.layer.weight)


class Cramped(nn.Module):
    """Also without gradients."""

    def __init__(self, room: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.room = nn.Linear(6, 2), room

    def forward(self, inputs: Tensor) -> Tensor:
        if len(inputs) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.layer(inputs)


def test_out_of_memory_halves_what_is_predicted_and_evaluated_at_once() -> None:
    precision, source = choose("fp32", torch.device("cpu")), linear_source()
    roomy, cramped, report = Cramped(1000), Cramped(3), Kept()
    assert evaluate(cramped, source, precision, report) == pytest.approx(
        evaluate(roomy, source, precision, Kept())
    )
    assert report.lines == [
        "out of memory: from here on 4 pictures at once",
        "out of memory: from here on 2 pictures at once",
    ]
    expected = predict(roomy, source, 32, precision, Kept())
    np.testing.assert_allclose(predict(cramped, source, 32, precision, Kept()), expected, rtol=1e-5)
    with pytest.raises(TrainingFailed, match="out of memory with a single picture"):
        evaluate(Cramped(0), source, precision, Kept())


class Compiled(nn.Module):
    """Stands for a compiled network, and notes what comes by."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.sizes = net, list[int]()

    def forward(self, inputs: Tensor) -> Tensor:
        self.sizes.append(len(inputs))
        return self.net(inputs)


def test_whole_batches_alone_go_through_the_compiled_network() -> None:
    plain, net, compiled = Crowded(1000), Crowded(1000), list[Compiled]()
    expected = list(trainer(plain, Kept()).fit(linear_source(28), None, 2))
    faster = trainer(net, Kept())
    faster.compile(lambda network: compiled.append(Compiled(network)) or compiled[0])
    figures = list(faster.fit(linear_source(28), None, 2))
    assert [f.train_loss for f in figures] == [f.train_loss for f in expected]
    assert compiled[0].sizes == [8, 8, 8] * 2  # not the 4 that are left


def test_another_precision_or_decoder_than_there_is_is_refused_with_those_that_are() -> None:
    cpu = torch.device("cpu")
    with pytest.raises(Problem, match=r"precision 'fp8': take one of auto, fp32, fp16, bf16"):
        choose("fp8", cpu)
    with pytest.raises(Problem, match=r"decoder 'libjpeg': take one of auto, pillow, nvimgcodec"):
        nvdecode.choose("libjpeg", cpu, print)


def test_compiling_waits_for_a_gpu_and_many_pictures() -> None:
    assert not compiling_pays(torch.device("cpu"), 10**9)
    assert not compiling_pays(torch.device("cuda"), 23_000)
    assert compiling_pays(torch.device("cuda"), 23_000 * 10)


def test_a_single_picture_too_large_ends_with_advice() -> None:
    net = Crowded(0)
    with pytest.raises(TrainingFailed, match="out of memory with a single picture"):
        list(trainer(net, Kept()).fit(linear_source(), None, 1))


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_checkpoint(settings: Settings) -> None:
    train(replace(settings, epochs=1), Kept())
    with pytest.raises(TrainingFailed, match="no number any more in epoch .*--lr below 1e\\+38.*--resume"):
        train(replace(settings, resume=True, lr=1e38, epochs=6), Kept())
    state = torch.load(settings.results / "checkpoint.pt", weights_only=True)
    # The pass that broke left no checkpoint: the last whole one is still there.
    assert [epoch["epoch"] for epoch in state["history"]] == [1]


def test_held_out_pictures_whose_loss_is_no_number_end_the_run_as_well() -> None:
    broken = linear_source()
    bad = Source(
        4, 1, np.zeros(4, dtype=np.int64), lambda _: iter([(torch.full((4, 6), torch.nan), torch.arange(4))])
    )
    with pytest.raises(TrainingFailed, match="no number any more in epoch 1"):
        list(trainer(Crowded(1000), Kept()).fit(broken, bad, 1))


def test_bf16_trains_as_fp32_does_within_its_rounding(settings: Settings, tmp_path: Path) -> None:
    train(replace(settings, epochs=1), Kept())
    train(replace(settings, epochs=1, precision="bf16", results=tmp_path / "bf16"), Kept())
    (_, full), (_, half) = trained(settings.results), trained(tmp_path / "bf16")
    assert np.array(half)[:, 0] == pytest.approx(np.array(full)[:, 0], rel=0.1)
