"""Training speed of the lesson's network, compared with a plain PyTorch loop and the device's limit.

    python benchmarks/vgg16_speed.py [--precision bf16] [--size PIXELS] [--batch PICTURES] [--seconds EACH]
                                     [--no-compile] [--json]

Rows: forward (the whole network, no gradients), head (the last layer on cached outputs of fc1) and full (all
138 million parameters). Ours is remote/vgg16's trainer with pictures in memory, which excludes disk and
decoding; plain is a tutorial's loop: fp32, eager, channels first, reading the loss at every step. The limit
is the rate of a large matrix product in the same precision in the same run. On a GPU it uses 224 pixels and
batches of 256; on a CPU a small network and only ratios, because absolute figures do not predict a box's
speed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "remote"))

from vgg16.device import DTYPES, NAMES, Precision, choose_precision, fused, speed  # noqa: E402
from vgg16.evaluate import predict  # noqa: E402
from vgg16.model import HIDDEN, RANDOM, TABLE_D, VGG16, Normalise  # noqa: E402
from vgg16.pictures import Source  # noqa: E402
from vgg16.train import Portions, Report, Runner, Trainer  # noqa: E402
from vgg16.weights.initialise import random_state  # noqa: E402

ROUNDS = 3  # of each measurement, alternating, so that a warming device affects all
CLASSES = 2


@dataclass(frozen=True)
class Case:
    """A measurement. gflop: per picture, with two FLOP per multiply-add."""

    name: str
    gflop: float
    ours: Callable[[], int]
    plain: Callable[[], int]


def main() -> None:
    asked = _arguments()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = choose_precision(asked.precision, device)
    gpu = device.type == "cuda"
    seconds = asked.seconds or (2.0 if gpu else 0.5)
    size, batch, width = (
        asked.size or (224 if gpu else 64),
        asked.batch or (256 if gpu else 8),
        64 if gpu else 16,
    )
    if not gpu:
        torch.set_num_threads(1)
    bench = Bench(device, precision, size, batch, width, compiled=gpu and not asked.no_compile)
    cases = bench.cases()
    # PyTorch computes fp32 convolutions in TF32 if the card supports it, which limits the plain loop.
    plains = "tf32" if gpu and torch.cuda.get_device_capability() >= (8, 0) else "fp32"
    limit = {name: matmul_tflops(device, name, seconds) for name in dict.fromkeys((precision.name, plains))}
    rates: dict[tuple[str, str], list[float]] = {}
    for case in cases:
        for take in (case.ours, case.plain):
            take()  # compiling, choosing of convolutions, first allocations
        for _ in range(ROUNDS):
            for kind, take in (("ours", case.ours), ("plain", case.plain)):
                rates.setdefault((case.name, kind), []).append(_rate(take, device, seconds))
    if asked.json:
        print(json.dumps([_figures(case, rates, limit, precision.name, plains) for case in cases]))
        return
    name = torch.cuda.get_device_name(device) if gpu else f"{platform.machine()} CPU, 1 thread"
    print(f"{time.strftime('%Y-%m-%d')}  {name}, PyTorch {torch.__version__}")
    print(f"{size}x{size} pixels, batches of {batch}, width {width}; ours {precision.name}, plain fp32")
    print("large matrix product: " + ", ".join(f"{kind} {rate:.2f} TFLOP/s" for kind, rate in limit.items()))
    print(f"{'':9}{'ours':>12}{'plain':>12}{'ours/plain':>12}{'of the limit':>14}{'plain':>8}")
    for case in cases:
        found = _figures(case, rates, limit, precision.name, plains)
        ours, plain = found["ours"], found["plain"]
        share, plain_share = (f"{found[key]:.0%}" for key in ("share", "plain_share"))
        shown = [f"{rate:,.0f}/s" if gpu else "" for rate in (ours, plain)]
        print(f"{case.name:9}{shown[0]:>12}{shown[1]:>12}{ours / plain:>11.2f}x{share:>14}{plain_share:>8}")
    worst = max((max(taken) - min(taken)) / statistics.median(taken) for taken in rates.values())
    print(f"median of {ROUNDS} rounds of {seconds:g} s; largest spread {worst:.0%}")


def _figures(
    case: Case, rates: dict[tuple[str, str], list[float]], limit: dict[str, float], ours: str, plain: str
) -> dict[str, Any]:
    """Pictures a second, and their work as shares of the matrix product's in the same precision."""
    medians = {kind: statistics.median(rates[case.name, kind]) for kind in ("ours", "plain")}
    shares = {
        "share": medians["ours"] * case.gflop / 1000 / limit[ours],
        "plain_share": medians["plain"] * case.gflop / 1000 / limit[plain],
    }
    return {"case": case.name, **medians, **shares}


class Bench:
    """Both networks with the same pictures. A measured function works and returns its number of pictures."""

    def __init__(
        self, device: torch.device, precision: Precision, size: int, batch: int, width: int, *, compiled: bool
    ) -> None:
        self.device, self.precision, self.size, self.batch, self.width = device, precision, size, batch, width
        self.compiled = compiled
        random = np.random.default_rng(0)
        self.images = torch.from_numpy(random.integers(0, 256, (batch, 3, size, size), dtype=np.uint8))
        self.hidden = torch.rand(batch, 64 * width).to(DTYPES[precision.name])
        self.labels = random.integers(0, CLASSES, batch)
        if device.type == "cuda":
            self.images = self.images.pin_memory()
            self.hidden = self.hidden.to(device)  # where `sources` keeps them if they fit

    def cases(self) -> list[Case]:
        with FlopCounterMode(display=False) as counter:
            self._network().to("meta")(self.images[:1].to("meta"))
        forward = counter.get_total_flops() / 1e9
        hidden = 64 * self.width
        head = 2 * (hidden * hidden + 2 * hidden * CLASSES) / 1e9
        return [
            Case("forward", forward, self._our_forward(), self._plain_forward()),
            Case("head", head, self._our_training("last"), self._plain_head()),
            Case("full", 3 * forward, self._our_training("all"), self._plain_training()),
        ]

    def _network(self) -> VGG16:
        net = VGG16(RANDOM.at(self.size), CLASSES, width=self.width)
        net.load_state_dict(random_state(net, 0), assign=True)
        net.to(self.device)
        return fused.prepare(net) if self.device.type == "cuda" else net

    def _source(self, inputs: Tensor, steps: int, start: int = 0) -> Source:
        rows = torch.arange(self.batch)
        count = steps * self.batch
        return Source(count, steps, self.labels, lambda *_: ((inputs, rows) for _ in range(steps)), start)

    def _our_forward(self) -> Callable[[], int]:
        net = self._network()
        whole: nn.Module = speed.Compiled(net, Portions(print)) if self.compiled else net
        source = self._source(self.images, 4)

        def take() -> int:
            predict(Runner(whole, self.precision, Report()), source, self.batch)
            return source.count

        return take

    def _our_training(self, layers: str) -> Callable[[], int]:
        net = self._network()
        net.requires_grad_(layers == "all")
        net.last.requires_grad_(True)
        trainer = Trainer(net, self.precision, Report(), lr=1e-5, seed=0)
        if layers == "all" and self.compiled:
            trainer.forward = speed.Compiled(net, trainer.portions)
        source = self._source(self.images, 4) if layers == "all" else self._source(self.hidden, 4, HIDDEN)

        def take() -> int:
            list(trainer.fit(source, None, trainer.done + 1))
            return source.count

        return take

    def _plain_forward(self) -> Callable[[], int]:
        net = tutorial(self.size, self.width).to(self.device).eval()

        def take() -> int:
            with torch.no_grad():
                net(self.images.float().to(self.device)).argmax(1).cpu()
            return self.batch

        return take

    def _plain_training(self) -> Callable[[], int]:
        net = tutorial(self.size, self.width).to(self.device)
        return self._plain_loop(net, net.parameters(), self.images)

    def _plain_head(self) -> Callable[[], int]:
        """A tutorial's loop, which runs every picture through the frozen convolutions."""
        net = tutorial(self.size, self.width).to(self.device).requires_grad_(False)
        last = net[-1].requires_grad_(True)
        return self._plain_loop(net, last.parameters(), self.images)

    def _plain_loop(
        self, net: nn.Module, parameters: Iterator[nn.Parameter], images: Tensor
    ) -> Callable[[], int]:
        optimizer = torch.optim.Adam(parameters, lr=1e-5)
        labels = torch.from_numpy(self.labels)

        def take() -> int:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images.float().to(self.device)), labels.to(self.device))
            loss.backward()
            optimizer.step()
            loss.item()
            return self.batch

        return take


def tutorial(size: int, width: int) -> nn.Sequential:
    """The network as a tutorial writes it."""
    layers: list[nn.Module] = [Normalise(RANDOM.at(size))]
    channels = 3
    for entry in TABLE_D:
        if isinstance(entry, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, entry * width // 64, 3, padding=1), nn.ReLU()]
            channels = entry * width // 64
    hidden = 64 * width
    layers += [
        nn.AdaptiveAvgPool2d(7),
        nn.Flatten(),
        nn.Linear(channels * 49, hidden),
        nn.ReLU(),
        nn.Dropout(),
    ]
    layers += [nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, CLASSES)]
    return nn.Sequential(*layers)


def matmul_tflops(device: torch.device, precision: str, seconds: float) -> float:
    """The best rate of several matrix sizes, in 1e12 FLOP per second."""
    kind = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
    before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, precision == "tf32"
    best = 0.0
    for side in (4096, 8192) if device.type == "cuda" else (512, 1024):
        a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))

        def take(a: Tensor = a, b: Tensor = b) -> int:
            torch.mm(a, b)
            return 1

        take()
        best = max(best, _rate(take, device, seconds) * 2 * side**3 / 1e12)
    torch.backends.cuda.matmul.allow_tf32 = before
    return best


def _rate(take: Callable[[], int], device: torch.device, seconds: float) -> float:
    """What `take` counts, per second. On a GPU calls are queued and awaited together."""
    # On a CPU use CPU time: other processes may run.
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    _wait(device)
    started = clock()
    done, at_once = 0, 1
    while clock() - started < seconds:
        for _ in range(at_once):
            done += take()
        _wait(device)
        at_once = min(2 * at_once, 16) if device.type == "cuda" else 1
    return done / (clock() - started)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, help="pixels a side (GPU: 224, CPU: 64)")
    parser.add_argument("--batch", type=int, help="pictures a step (GPU: 256, CPU: 8)")
    parser.add_argument("--seconds", type=float, help="of each measurement (GPU: 2, CPU: 0.5)")
    parser.add_argument("--precision", choices=NAMES, default="auto", help="of ours (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--no-compile", action="store_true", help="measure the eager network on a GPU too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
