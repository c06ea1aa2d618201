"""How fast the lesson's network learns here, beside a plain PyTorch loop and the device's own limit.

    python benchmarks/vgg16_speed.py [--size PIXELS] [--batch PICTURES] [--seconds EACH] [--no-compile]

Rows: forward (the convolutions and all, no gradients), head (the last layer on cached features) and full (all
138 million parameters). Ours is remote/vgg16's own trainer, pictures in memory, so that neither disk nor
decoding is measured; plain is a tutorial's loop: fp32, eager, channels first, a figure read at every step.
The limit is a large matrix product's rate in the same precision, measured in the same run. On a GPU 224
pixels, batches of 256; on a CPU small ones, a narrow network and ratios alone, for its absolute figures say
nothing about a box.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "remote"))

from vgg16 import speed  # noqa: E402
from vgg16.data.sources import Source  # noqa: E402
from vgg16.evaluate import predict  # noqa: E402
from vgg16.model import TABLE_D, VGG16  # noqa: E402
from vgg16.precision import Precision, choose  # noqa: E402
from vgg16.preprocess import RANDOM, Normalise  # noqa: E402
from vgg16.report import Report  # noqa: E402
from vgg16.train import Trainer  # noqa: E402
from vgg16.weights.initialise import random_state  # noqa: E402

ROUNDS = 3  # of each measurement, taken in turn, so that a warming device is fair to all
CLASSES = 2


@dataclass(frozen=True)
class Case:
    """What is measured. gflop: of one picture, as the field counts: two FLOP a multiply-add."""

    name: str
    gflop: float
    ours: Callable[[], int]
    plain: Callable[[], int]


def main() -> None:
    asked = _arguments()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = choose("auto", device)
    gpu = device.type == "cuda"
    seconds = asked.seconds or (2.0 if gpu else 0.5)
    size, batch, width = (
        asked.size or (224 if gpu else 64),
        asked.batch or (256 if gpu else 8),
        64 if gpu else 16,
    )
    if gpu:
        torch.backends.cudnn.benchmark = True  # as lesson.Vgg16
    else:
        torch.set_num_threads(1)
    bench = Bench(device, precision, size, batch, width, compiled=gpu and not asked.no_compile)
    cases = bench.cases()
    # PyTorch computes fp32 convolutions in TF32 where a card has it: that is what limits the plain loop.
    plains = "tf32" if gpu and torch.cuda.get_device_capability() >= (8, 0) else "fp32"
    limit = {name: matmul_tflops(device, name, seconds) for name in dict.fromkeys((precision.name, plains))}
    rates: dict[tuple[str, str], list[float]] = {}
    for case in cases:
        for take in (case.ours, case.plain):
            take()  # compiling, choosing of convolutions, first allocations
        for _ in range(ROUNDS):
            for kind, take in (("ours", case.ours), ("plain", case.plain)):
                rates.setdefault((case.name, kind), []).append(_rate(take, device, seconds))
    name = torch.cuda.get_device_name(device) if gpu else f"{platform.machine()} CPU, 1 thread"
    print(f"{time.strftime('%Y-%m-%d')}  {name}, PyTorch {torch.__version__}")
    print(f"{size}x{size} pixels, batches of {batch}, width {width}; ours {precision.name}, plain fp32")
    print("large matrix product: " + ", ".join(f"{kind} {rate:.2f} TFLOP/s" for kind, rate in limit.items()))
    print(f"{'':9}{'ours':>12}{'plain':>12}{'ours/plain':>12}{'of the limit':>14}{'plain':>8}")
    for case in cases:
        ours, plain = (statistics.median(rates[case.name, kind]) for kind in ("ours", "plain"))
        shares = (
            rate * case.gflop / 1000 / limit[kind] for rate, kind in ((ours, precision.name), (plain, plains))
        )
        share, plain_share = (f"{share:.0%}" for share in shares)
        shown = [f"{rate:,.0f}/s" if gpu else "" for rate in (ours, plain)]
        print(f"{case.name:9}{shown[0]:>12}{shown[1]:>12}{ours / plain:>11.2f}x{share:>14}{plain_share:>8}")
    worst = max((max(found) - min(found)) / statistics.median(found) for found in rates.values())
    print(f"median of {ROUNDS} rounds of {seconds:g} s; largest spread {worst:.0%}")


class Bench:
    """Both networks, the same pictures for both. A measured function does some work; of how many pictures."""

    def __init__(
        self, device: torch.device, precision: Precision, size: int, batch: int, width: int, *, compiled: bool
    ) -> None:
        self.device, self.precision, self.size, self.batch, self.width = device, precision, size, batch, width
        self.compiled = compiled
        random = np.random.default_rng(0)
        self.images = torch.from_numpy(random.integers(0, 256, (batch, 3, size, size), dtype=np.uint8))
        self.features = torch.rand(batch, 8 * width * 49).half()
        self.labels = random.integers(0, CLASSES, batch)
        if device.type == "cuda":
            self.images = self.images.pin_memory()
            self.features = self.features.to(device)  # where `sources` keeps them, as far as they fit

    def cases(self) -> list[Case]:
        with FlopCounterMode(display=False) as counter:
            self._network().to("meta")(self.images[:1].to("meta"))
        forward = counter.get_total_flops() / 1e9
        hidden = 64 * self.width
        inputs = 8 * self.width * 49
        head = 2 * (inputs * hidden + hidden * hidden + 2 * hidden * CLASSES) / 1e9
        return [
            Case("forward", forward, self._our_forward(), self._plain_forward()),
            Case("head", head, self._our_training("last"), self._plain_head()),
            Case("full", 3 * forward, self._our_training("all"), self._plain_training()),
        ]

    def _network(self) -> VGG16:
        net = VGG16(RANDOM.at(self.size), CLASSES, width=self.width)
        net.load_state_dict(random_state(net, 0), assign=True)
        net.to(self.device)
        return net.to(memory_format=torch.channels_last) if self.device.type == "cuda" else net

    def _source(self, inputs: Tensor, steps: int) -> Source:
        rows = torch.arange(self.batch)
        count = steps * self.batch
        return Source(count, steps, self.labels, lambda _: ((inputs, rows) for _ in range(steps)))

    def _our_forward(self) -> Callable[[], int]:
        net = self._network()
        whole: nn.Module = speed.compiled(net) if self.compiled else net
        source = self._source(self.images, 4)

        def take() -> int:
            predict(whole, source, self.batch, self.precision, Report())
            return source.count

        return take

    def _our_training(self, layers: str) -> Callable[[], int]:
        net = self._network()
        net.requires_grad_(layers == "all")
        net.last.requires_grad_(True)
        trainer = Trainer(net, self.precision, Report(), lr=1e-5, seed=0)
        if layers == "all" and self.compiled:
            trainer.compile(speed.compiled)
        source = self._source(self.images if layers == "all" else self.features, 4)

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
        """A tutorial freezes the convolutions, and runs every picture through them all the same."""
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
    """The same network as one writes it on the first day."""
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
    """The best of some sizes: 1e12 multiplications and additions a second."""
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
    """Of what take counts, a second. Calls are queued on a GPU, and awaited together."""
    # On a CPU this process's own seconds: it may be one of many.
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
    parser.add_argument("--no-compile", action="store_true", help="measure the eager network on a GPU too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
