"""What only a GPU can show: `python -m pytest -m gpu`. Needs PyTorch, numpy and Pillow alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from vgg16.device import choose_precision, fused
from vgg16.model import RANDOM, VGG16
from vgg16.pictures import Source
from vgg16.train import Report, Runner, Trainer
from vgg16.weights.initialise import random_state

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use"),
]
SIZE, WIDTH, CLASSES = 64, 16, 2


class Kept(Report):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def network(device: str) -> VGG16:
    net = VGG16(RANDOM.at(SIZE), CLASSES, width=WIDTH)
    net.load_state_dict(random_state(net, 0), assign=True)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):  # 0 in a new network
                parameter.uniform_(-0.2, 0.2, generator=random)
    return fused.prepare(net.to(device)) if device == "cuda" else net


def pictures(count: int) -> Tensor:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (count, 3, SIZE, SIZE), dtype=np.uint8))


def source(count: int = 64, batch: int = 16) -> Source:
    images, labels = pictures(count), np.arange(count) % CLASSES

    def epoch(number: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for at in range(skip * batch, count, batch):
            rows = torch.arange(at, min(at + batch, count))
            yield images[rows], rows

    return Source(count, -(-count // batch), labels, epoch)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 0.02), ("bf16", 0.1), ("fp16", 0.05)])
def test_a_gpu_answers_as_the_cpu_does_within_the_rounding_of_its_precision(
    precision: str, tolerance: float
) -> None:
    """fp32 is TF32 in convolutions on cards that have it."""
    with torch.inference_mode():
        expected = network("cpu").eval()(pictures(8))
    chosen = choose_precision(precision, torch.device("cuda"))
    net = network("cuda").eval()
    used_before = [torch.full((1 << 26,), float("nan"), device="cuda") for _ in range(4)]
    del used_before  # what is computed is written there
    with torch.inference_mode(), chosen.cast_once(net), chosen.autocast():
        found = net(pictures(8).cuda()).float().cpu()
    assert (found - expected).abs().max() < tolerance * expected.abs().max()
    assert all(parameter.dtype == torch.float32 for parameter in net.parameters())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_gpu_trains_all_layers_in_half_precision(precision: str) -> None:
    chosen = choose_precision(precision, torch.device("cuda"))
    trainer = Trainer(network("cuda"), chosen, Kept(), lr=1e-4, seed=0)
    figures = list(trainer.fit(source(), source(), 3))
    assert figures[-1].train_loss < figures[0].train_loss


def test_a_full_gpu_halves_what_is_worked_at_once() -> None:
    precision, net, report = choose_precision("fp32", torch.device("cuda")), network("cuda"), Kept()
    roomy = Runner(net, precision, report).evaluate(source(1024, 1024))
    assert report.lines == []
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (160 << 20)) / total)
    try:
        crowded = Runner(net, precision, report).evaluate(source(1024, 1024))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert report.lines and report.lines[0].startswith("out of memory: from here on 512 pictures")
    assert crowded == pytest.approx(roomy, rel=1e-3)
