"""The feature cache's effect: epoch 1 against epoch 2, with and without it, on 200 real photographs.

    python benchmarks/vgg16_epochs.py [--size PIXELS] [--width CHANNELS] [--epochs N] [--json]

The photographs come with scikit-image (`python -m vgg16 data faces`): 160 for training, 40 held out, in
batches of 64. The weights are random, which takes the same time. Epoch 1 fills the cache with training and
held-out pictures; later epochs do not compute the convolutions again.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "remote"))

from vgg16.data import faces  # noqa: E402
from vgg16.lesson import Vgg16  # noqa: E402
from vgg16.report import Silent  # noqa: E402


def main() -> None:
    asked = _arguments()
    gpu = torch.cuda.is_available()
    if not gpu:
        torch.set_num_threads(1)
    size, width = asked.size or (224 if gpu else 64), asked.width or (64 if gpu else 32)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "faces")
        faces.prepare(data)
        if gpu:
            epochs(data, None, size, width, 1)  # CUDA starts, cuDNN chooses its algorithms
        cached = epochs(data, Path(folder, "cache"), size, width, asked.epochs)
        computed = epochs(data, None, size, width, asked.epochs)
    if asked.json:
        print(json.dumps({"cached": cached, "computed": computed}))
        return
    name = torch.cuda.get_device_name() if gpu else f"{platform.machine()} CPU, 1 thread"
    print(f"{time.strftime('%Y-%m-%d')}  {name}, PyTorch {torch.__version__}")
    print(f"160 + 40 photographs, {size}x{size} pixels, width {width}; epoch 1 without the cache is 1.00")
    print(f"{'':15}" + "".join(f"{f'epoch {number + 1}':>10}" for number in range(asked.epochs)))
    for words, seconds in (("with the cache", cached), ("without", computed)):
        print(f"{words:15}" + "".join(f"{second / computed[0]:>10.4f}" for second in seconds))
    print(f"epoch 2 takes 1/{cached[0] / cached[1]:.0f} of epoch 1 with the cache")
    print(f"epoch 1 without the cache: {computed[0]:.2f} s" + ("" if gpu else " of processor time"))


def epochs(data: Path, cache: Path | None, size: int, width: int, count: int) -> list[float]:
    """Seconds of each epoch, the first with all preparation; on a CPU, CPU time of this process."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    vgg = Vgg16("none", size=size, width=width, cache=cache, report=Silent())
    batches = vgg.get_batches(data / "train", batch_size=64)
    held_out = vgg.get_batches(data / "valid", shuffle=False, batch_size=128)
    vgg.finetune(batches)
    taken, started = [], clock()
    for _ in vgg.epochs(batches, held_out, count):
        taken.append(clock() - started)
        started = clock()
    return taken


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, help="pixels a side (GPU: 224, CPU: 64)")
    parser.add_argument(
        "--width", type=int, help="channels of the first block (GPU: 64, as published; CPU: 32)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--epochs", type=int, default=3, help="of each kind (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
