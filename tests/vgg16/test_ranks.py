"""Several ranks give the results of one, and a lost one costs no finished epoch."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.vgg16.ranked import as_ranks
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook

from vgg16 import ending
from vgg16.data.augment import Augment
from vgg16.device import ALONE, Ranks, choose_precision
from vgg16.distributed import GroupTrainer, joined
from vgg16.elastic import restarts
from vgg16.ending import Ended
from vgg16.lesson import Vgg16
from vgg16.model import VGG16
from vgg16.pictures import Source
from vgg16.report import Silent
from vgg16.run import Settings, train
from vgg16.train import Report, Trainer

# The last batch of 23 has one picture: fewer than ranks.
BATCH, RANKS = 11, 3


class Kept(Report):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def two_epochs(layers: str, data: Path, cache: Path) -> dict[str, object]:
    """Figures, answers and weights of a short training without dropout."""
    with joined("cpu") as ranks:
        return _two_epochs(layers, data, cache / str(ranks.rank), ranks)


def _two_epochs(layers: str, data: Path, cache: Path, ranks: Ranks = ALONE) -> dict[str, object]:
    report = Kept()
    vgg = Vgg16("none", size=32, width=8, cache=cache, report=report, ranks=ranks)
    for layer in vgg.model.classifier:
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    augment = Augment() if layers == "all" else None
    batches = vgg.get_batches(data / "train", augment, batch_size=BATCH)
    held_out = vgg.get_batches(data / "valid", shuffle=False, batch_size=5)
    vgg.finetune(batches)
    vgg.unfreeze(layers)
    vgg.compile(1e-4)
    convolved: list[int] = []
    convolve = vgg.model.convolve
    vgg.model.convolve = lambda images: convolved.append(len(images)) or convolve(images)
    history = vgg.fit(batches, held_out, nb_epoch=2)
    assert vgg.trainer is not None
    return {
        "figures": [(e.train_loss, e.train_accuracy, e.valid_loss, e.valid_accuracy) for e in history],
        "answers": vgg.probabilities(held_out),
        "weights": [parameter.detach().clone() for parameter in vgg.trainer.parameters],
        "unreadable": set(batches.unreadable),
        "convolved": sum(convolved),
        "lines": report.lines,
    }


@pytest.fixture
def set_with_a_broken_one(tiny_set: Path) -> Path:
    broken = tiny_set / "train" / "light" / "light.3.png"
    broken.write_bytes(broken.read_bytes()[:500])
    return tiny_set


@pytest.mark.parametrize("layers", ["last", "all"])
def test_several_ranks_give_one_rank_s_results_within_rounding(
    layers: str, set_with_a_broken_one: Path, tmp_path: Path
) -> None:
    alone = _two_epochs(layers, set_with_a_broken_one, tmp_path / "alone")
    together = as_ranks(RANKS, two_epochs, layers, set_with_a_broken_one, tmp_path)
    for one in together:
        assert np.array(one["figures"]) == pytest.approx(np.array(alone["figures"]), rel=1e-3)
        assert one["answers"] == pytest.approx(alone["answers"], abs=1e-3)
        for ours, theirs in zip(one["weights"], alone["weights"], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
        assert len(one["unreadable"]) == 1 and one["unreadable"] == alone["unreadable"]
    # Exactly equal among each other: or they would drift apart.
    first, *others = together
    assert all(
        torch.equal(a, b) for other in others for a, b in zip(first["weights"], other["weights"], strict=True)
    )
    assert sum(any("left out" in line for line in one["lines"]) for one in together) >= 1
    if layers == "last":
        assert sum(one["convolved"] for one in together) == alone["convolved"] == 31


def compressed(data: Path, cache: Path) -> dict[str, object]:
    """As two_epochs, but gradients travel as between GPUs: in bf16."""
    with joined("cpu") as ranks, pytest.MonkeyPatch.context() as patch:
        patch.setattr("vgg16.distributed.dist.get_backend", lambda: "nccl")
        # By another name: PyTorch asks for NCCL by its own, though gloo adds bf16 as well.
        patch.setattr(
            "vgg16.distributed.bf16_compress_hook", lambda state, bucket: bf16_compress_hook(state, bucket)
        )
        return _two_epochs("all", data, cache / str(ranks.rank), ranks)


def test_gradients_that_travel_in_bf16_train_the_same_within_its_rounding(
    tiny_set: Path, tmp_path: Path
) -> None:
    alone = _two_epochs("all", tiny_set, tmp_path / "alone")
    first, second = as_ranks(2, compressed, tiny_set, tmp_path)
    assert np.array(first["figures"]) == pytest.approx(np.array(alone["figures"]), rel=0.05)
    assert all(torch.equal(a, b) for a, b in zip(first["weights"], second["weights"], strict=True))
    # And they did: fp32 ones would have agreed to the last digits.
    assert first["figures"] != as_ranks(2, two_epochs, "all", tiny_set, tmp_path / "fp32")[0]["figures"]


class Crowded(nn.Module):
    """Has no memory for more than two pictures at once on the second rank, with gradients, as a full GPU."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.crowded = nn.Linear(6, 2), rank == 1

    def forward(self, inputs: Tensor) -> Tensor:
        if self.crowded and torch.is_grad_enabled() and len(inputs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.layer(inputs)


def crowded(world: int) -> tuple[Tensor, list[str]]:
    if world == 1:
        return _crowded(ALONE)
    with joined("cpu") as ranks:
        return _crowded(ranks)


def _crowded(ranks: Ranks) -> tuple[Tensor, list[str]]:
    random = np.random.default_rng(0)
    inputs = torch.from_numpy(random.normal(size=(32, 6)).astype(np.float32))

    def epoch(number: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for at in range(10 * skip, 32, 10):
            rows = torch.arange(at, min(at + 10, 32))[ranks.rank :: ranks.world]
            yield inputs[rows], rows

    net, report = Crowded(ranks.rank), Kept()
    precision = choose_precision("fp32", torch.device("cpu"))
    kind = GroupTrainer if ranks.world > 1 else Trainer
    trainer = kind(net, precision, report, lr=0.01, seed=0, ranks=ranks)
    list(trainer.fit(Source(32, 4, (inputs[:, 0] > 0).long().numpy(), epoch), None, 3))
    return net.layer.weight.detach(), report.lines


def test_one_rank_out_of_memory_makes_all_work_in_smaller_parts_with_the_same_result() -> None:
    expected, _ = crowded(1)
    for weight, lines in as_ranks(2, crowded, 2):
        torch.testing.assert_close(weight, expected)
        assert lines == [
            "out of memory: from here on 3 pictures at once, same batch size",
            "out of memory: from here on 2 pictures at once, same batch size",
        ]


def settings(data: Path, results: Path, cache: Path) -> Settings:
    return Settings(
        data=data, results=results, cache=cache, epochs=4, batch_size=8, image_size=32, weights="none",
        width=8, lr=0.003, device="cpu",
    )  # fmt: skip


def signalled(data: Path, results: Path, cache: Path) -> str:
    """A training, alone, whose process group gets SIGTERM while worker processes read pictures."""
    step, sent = Trainer._step, list[int]()

    def eventful_step(trainer: Trainer, *arguments: Any) -> None:
        if not sent:
            sent.append(1)
            os.killpg(0, signal.SIGTERM)
            time.sleep(0.3)  # for a worker to die of it
        step(trainer, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            patch.delenv(name)
        patch.setattr("vgg16.pictures._WORKERS_FROM", 1)
        patch.setattr(Trainer, "_step", eventful_step)
        os.setpgid(0, 0)
        ending.listen()
        try:
            train(replace(settings(data, results, cache), layers="all", batch_size=2), Silent())
        except Ended as ended:
            return str(ended)
    return "done"


def test_sigterm_to_the_whole_process_group_spares_the_workers_that_read_pictures(
    tiny_set: Path, tmp_path: Path
) -> None:
    (said,) = as_ranks(1, signalled, tiny_set, tmp_path / "results", tmp_path / "cache")
    assert said == "ended by SIGTERM after step 1 of epoch 1, which is kept: --resume goes on from there"


def ended_in_features(data: Path, results: Path, cache: Path) -> str:
    """As run(), but the second rank alone is asked to end while it computes features."""
    convolve = VGG16.convolve

    def eventful(net: VGG16, images: Tensor) -> Tensor:
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        return convolve(net, images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VGG16, "convolve", eventful)
        ending.listen()
        try:
            run(data, results, cache)
        except Ended as ended:
            return str(ended)
    return "done"


def test_all_ranks_end_if_one_is_asked_to_end_while_it_computes_features(
    tiny_set: Path, tmp_path: Path
) -> None:
    said = as_ranks(2, ended_in_features, tiny_set, tmp_path / "results", tmp_path / "cache")
    assert said == ["ended by SIGTERM before training began; features computed so far are kept"] * 2


def run(data: Path, results: Path, cache: Path) -> None:
    train(settings(data, results, cache), Silent())


def figures(results: Path) -> list[list[float]]:
    lines = [json.loads(line) for line in (results / "metrics.jsonl").read_text().splitlines()]
    names = ("epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy")
    return [[line[name] for name in names] for line in lines]


class Written(Report):
    """Keeps lines in a file, for processes that end and start again."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def say(self, line: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{line}\n")


def mortal(data: Path, results: Path, cache: Path) -> None:
    """As run(), but the second rank is killed once, in the middle of the third epoch."""
    step, steps = Trainer._step, 0

    def mortal_step(trainer: Trainer, *arguments: Any) -> None:
        nonlocal steps
        steps += trainer.done == 2
        if steps == 2 and trainer.ranks.rank == 1 and restarts() == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        step(trainer, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_step", mortal_step)
        torch.set_num_threads(1)
        train(settings(data, results, cache), Written(results / "said"))


def asked_to_end(data: Path, results: Path, cache: Path, launcher: int) -> None:
    """As run(), but torchrun gets SIGTERM during the first step of the second epoch."""
    step = Trainer._step

    def eventful_step(trainer: Trainer, *arguments: Any) -> None:
        if trainer.done == 1 and not ending.asked() and trainer.ranks.rank == 1:
            os.kill(launcher, signal.SIGTERM)
            while not ending.asked():
                time.sleep(0.01)
        step(trainer, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_step", eventful_step)
        ending.listen()
        torch.set_num_threads(1)
        try:
            train(settings(data, results, cache), Written(results / "said"))
        except Ended as ended:
            (results / f"ended.{os.environ['RANK']}").write_text(str(ended))
            os._exit(ending.EXIT_STATUS)  # returning would wait for torchrun to take the result


def ended_torchrun(*arguments: Any) -> int:
    from torch.distributed.elastic.multiprocessing import SignalException

    os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = "110"  # a loaded machine takes longer than 30 s
    try:
        torchrun(*arguments, os.getpid(), entry=asked_to_end)
    except SignalException as error:
        return error.sigval
    return 0


def test_sigterm_to_torchrun_saves_in_the_middle_of_an_epoch_and_a_resumed_run_is_the_same(
    tiny_set: Path, tmp_path: Path
) -> None:
    undisturbed, ended, cache = tmp_path / "undisturbed", tmp_path / "ended", tmp_path / "cache"
    ended.mkdir()
    as_ranks(2, run, tiny_set, undisturbed, cache)
    assert as_ranks(1, ended_torchrun, tiny_set, ended, cache) == [signal.SIGTERM]
    # Whether rank 0 is asked before or after its first step is a matter of luck; all end at the same one.
    (words,) = {path.read_text() for path in ended.glob("ended.?")}
    assert re.fullmatch("ended by SIGTERM after step [23] of epoch 2, which is kept: --resume.*", words)
    as_ranks(2, resumed, tiny_set, ended, cache)
    assert figures(ended) == figures(undisturbed)
    ours, theirs = (torch.load(each / "checkpoint.pt")["trained"] for each in (undisturbed, ended))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def resumed(data: Path, results: Path, cache: Path) -> None:
    train(replace(settings(data, results, cache), resume=True), Silent())


def torchrun(*arguments: Any, entry: Callable[..., object] = mortal) -> None:
    """As `torchrun --standalone --nproc-per-node 2 --max-restarts 1`, without importing PyTorch again."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=2, max_restarts=1, monitor_interval=0.1,
        rdzv_backend="c10d", rdzv_endpoint="localhost:0", local_addr="127.0.0.1",
        run_id="test", start_method="forkserver",
        logs_specs=DefaultLogsSpecs(log_dir=str(arguments[1] / "logs")),
    )  # fmt: skip
    elastic_launch(config, entry)(*arguments)


def test_a_killed_rank_restarts_the_run_from_its_last_checkpoint(tiny_set: Path, tmp_path: Path) -> None:
    undisturbed, killed, cache = tmp_path / "undisturbed", tmp_path / "killed", tmp_path / "cache"
    as_ranks(2, run, tiny_set, undisturbed, cache)
    # Of an older run, finished: nothing that a restart goes on from.
    killed.mkdir()
    shutil.copy(undisturbed / "checkpoint.pt", killed)
    as_ranks(1, torchrun, tiny_set, killed, cache)
    said = (killed / "said").read_text().splitlines()
    lines = [line.partition(":")[0] for line in said if line.startswith(("epoch", "resumed"))]
    assert lines == ["epoch 1/4", "epoch 2/4", "resumed after epoch 2", "epoch 3/4", "epoch 4/4"]
    assert figures(killed) == figures(undisturbed)
