"""The loop: resumed bit for bit, repeatable, and honest when it cannot go on."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.vgg16.full_disk import files_up_to
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vgg16 import Problem, TrainingFailed, checkpoint, lesson
from vgg16.data import nvdecode
from vgg16.device import choose_precision
from vgg16.device.half import Half
from vgg16.device.speed import Compiled, compiling_pays
from vgg16.evaluate import predict
from vgg16.memory import shortage
from vgg16.pictures import Source
from vgg16.run import Settings, train
from vgg16.train import Report, Runner, Trainer


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
    vgg = lesson.Vgg16("none", size=32, width=8, cache=settings.cache, report=report)
    vgg.finetune(vgg.get_batches(settings.data / "train"))
    assert vgg.trainer is not None
    with files_up_to(1024):
        checkpoint.save(settings.results / "checkpoint.pt", vgg.trainer, [], "x", report.say)
    assert any(
        "checkpoint not written" in line and "the one before it is whole" in line for line in report.lines
    )
    assert (settings.results / "checkpoint.pt").read_bytes() == before
    assert not list(settings.results.glob(".*.gpu-box-part"))


def linear_source(count: int = 32, batch: int = 8) -> Source:
    random = np.random.default_rng(0)
    inputs = torch.from_numpy(random.normal(size=(count, 6)).astype(np.float32))
    labels = (inputs[:, 0] > 0).long().numpy()

    def epoch(number: int, skip: int = 0):
        for at in range(skip * batch, count, batch):
            rows = torch.arange(at, min(at + batch, count))
            yield inputs[rows], rows

    return Source(count, -(-count // batch), labels, epoch)


def trainer(net: nn.Module, report: Report, lr: float = 0.01) -> Trainer:
    return Trainer(net, choose_precision("fp32", torch.device("cpu")), report, lr=lr, seed=0)


class Crowded(nn.Module):
    """Runs out of memory with more than `room` pictures at once, in the middle of a forward, as a GPU."""

    def __init__(self, room: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.room = nn.Linear(6, 2), room
        self.error: RuntimeError = torch.OutOfMemoryError("CUDA out of memory")

    def forward(self, inputs: Tensor) -> Tensor:
        if torch.is_grad_enabled() and len(inputs) > self.room:
            raise self.error
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


FULL = {
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`": "out of memory",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED": "out of memory",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED": "out of memory",
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported": "out of memory",
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear": (
        "probably out of memory (cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear)"
    ),
    "GET was unable to find an engine to execute this computation": (
        "probably out of memory (GET was unable to find an engine to execute this computation)"
    ),
    "Unable to find a valid cuDNN algorithm to run convolution": (
        "probably out of memory (Unable to find a valid cuDNN algorithm to run convolution)"
    ),
}


@pytest.mark.parametrize(("text", "reason"), FULL.items())
def test_a_full_gpu_by_the_words_of_cublas_and_cudnn_halves_what_is_worked_at_once_too(
    text: str, reason: str
) -> None:
    report = Kept()
    net = Crowded(5)
    net.error = RuntimeError(text)
    list(trainer(net, report).fit(linear_source(), None, 1))
    assert report.lines == [f"{reason}: from here on 4 pictures at once, same batch size"]
    net.room = 0
    with pytest.raises(TrainingFailed) as failed:
        list(trainer(net, report).fit(linear_source(), None, 2))
    assert str(failed.value).startswith(f"{reason} with a single picture")


def test_another_error_of_cuda_is_no_shortage_of_memory() -> None:
    for text in ("CUDA error: an illegal memory access was encountered", "CUBLAS_STATUS_EXECUTION_FAILED"):
        assert shortage(RuntimeError(text)) == ""


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
    precision, source = choose_precision("fp32", torch.device("cpu")), linear_source()
    roomy, cramped, report = Cramped(1000), Cramped(3), Kept()
    assert Runner(cramped, precision, report).evaluate(source) == pytest.approx(
        Runner(roomy, precision, Kept()).evaluate(source)
    )
    assert report.lines == [
        "out of memory: from here on 4 pictures at once, same batch size",
        "out of memory: from here on 2 pictures at once, same batch size",
    ]
    expected = predict(Runner(roomy, precision, Kept()), source, 32)
    np.testing.assert_allclose(predict(Runner(cramped, precision, Kept()), source, 32), expected, rtol=1e-5)
    with pytest.raises(TrainingFailed, match="out of memory with a single picture"):
        Runner(Cramped(0), precision, Kept()).evaluate(source)


def test_whole_batches_alone_go_through_the_compiled_network(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(torch, "compile", lambda net: lambda part: sizes.append(len(part)) or net(part))
    plain, net, report = Crowded(1000), Crowded(1000), Kept()
    expected = list(trainer(plain, Kept()).fit(linear_source(28), None, 2))
    faster = trainer(net, report)
    faster.forward = Compiled(net, faster.portions)
    figures = list(faster.fit(linear_source(28), None, 2))
    assert [f.train_loss for f in figures] == [f.train_loss for f in expected]
    assert sizes == [8, 8, 8] * 2  # not the 4 that are left
    sizes.clear()
    net.room = 6
    list(faster.fit(linear_source(28), None, 3))
    assert sizes == [8, 4, 4, 4, 4, 4, 4]  # halves, from the first shortage on; not 2 of the last batch
    assert report.lines == ["out of memory: from here on 4 pictures at once, same batch size"]


def test_another_precision_or_decoder_than_there_is_is_refused_with_those_that_are() -> None:
    cpu = torch.device("cpu")
    with pytest.raises(Problem, match=r"precision 'fp8': take one of auto, fp32, fp16, bf16"):
        choose_precision("fp8", cpu)
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
    with pytest.raises(TrainingFailed, match="not a number any more in epoch .*--lr below 1e\\+38.*--resume"):
        train(replace(settings, resume=True, lr=1e38, epochs=6), Kept())
    state = torch.load(settings.results / "checkpoint.pt", weights_only=True)
    # The pass that broke left no checkpoint: the last whole one is still there.
    assert [epoch["epoch"] for epoch in state["history"]] == [1]


def test_held_out_pictures_whose_loss_is_no_number_end_the_run_as_well() -> None:
    broken = linear_source()
    bad = Source(
        4, 1, np.zeros(4, dtype=np.int64), lambda *_: iter([(torch.full((4, 6), torch.nan), torch.arange(4))])
    )
    with pytest.raises(TrainingFailed, match="not a number any more in epoch 1"):
        list(trainer(Crowded(1000), Kept()).fit(broken, bad, 1))


def test_bf16_trains_as_fp32_does_within_its_rounding(settings: Settings, tmp_path: Path) -> None:
    train(replace(settings, epochs=1), Kept())
    train(replace(settings, epochs=1, precision="bf16", results=tmp_path / "bf16"), Kept())
    (_, full), (_, half) = trained(settings.results), trained(tmp_path / "bf16")
    # Random layers, scaled to nearly equal pictures, amplify the rounding: up to 21 % over six seeds.
    assert np.array(half)[:, 0] == pytest.approx(np.array(full)[:, 0], rel=0.4)


class Casts(TorchDispatchMode):
    """Counts conversions of large two-dimensional tensors: weights of linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__.startswith(("_to_copy", "to.dtype")) and args[0].shape == (16, 16):
            self.count += args[0].dtype == torch.float32
        return func(*args, **(kwargs or {}))


class Layers(nn.Module):
    """A frozen layer below a trained one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(6, 16), nn.Linear(16, 2)
        self.frozen = nn.Linear(16, 16).requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.frozen(self.first(inputs)))


def test_frozen_weights_are_cast_once_a_pass_with_the_same_results_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def trained_layers() -> tuple[int, Layers, list[float]]:
        net = Layers()
        trainer = Trainer(net, choose_precision("bf16", torch.device("cpu")), Kept(), lr=0.01, seed=0)
        with Casts() as casts:
            figures = list(trainer.fit(linear_source(), linear_source(), 2))
        assert all(parameter.dtype == torch.float32 for parameter in net.parameters())
        return casts.count, net, [loss for f in figures for loss in (f.train_loss, f.valid_loss or 0.0)]

    casts, net, losses = trained_layers()
    assert casts == 4, "once for each of two passes over training and held-out pictures"
    monkeypatch.setattr(Half, "cast_once", lambda *_: nullcontext())
    autocasts, other, other_losses = trained_layers()
    assert autocasts == 16, "autocast alone: at every step"
    assert losses == other_losses
    for ours, theirs in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    # Against fp32 the network answers within bf16's rounding (8 bits: 2 ** -8), a few layers deep.
    precise = Trainer(Layers(), choose_precision("fp32", torch.device("cpu")), Kept(), lr=0.01, seed=0)
    expected = [f.train_loss for f in precise.fit(linear_source(), linear_source(), 2)]
    assert losses[::2] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("layers", ["last", "all"])
def test_a_network_in_bf16_answers_as_under_autocast_bit_for_bit(
    layers: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, precision="bf16", layers=layers, epochs=2)
    train(settings, Kept())
    monkeypatch.setattr(Half, "cast_once", lambda *_: nullcontext())
    other = replace(settings, results=tmp_path / "other", cache=tmp_path / "other_cache")
    train(other, Kept())
    (ours, figures), (theirs, other_figures) = trained(settings.results), trained(other.results)
    assert figures == other_figures
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
