"""How many JPEGs a second become pixels for the network: Pillow on worker processes, and the GPU's decoder.

    python benchmarks/vgg16_decode.py [--size PIXELS] [--pictures N] [--rounds N]

Photographs of scikit-image (a cat, a rocket, coffee, a face) as JPEGs of 500x375, about as large as those of
Dogs vs Cats; each file its own crop. Both rows are remote/vgg16's own batches of 64, from files that lie in
the kernel's cache, workers' start included. Without a GPU the second row is nvImageCodec's CPU codec and a
resize that is written for a GPU: it proves the path, and says nothing about a box.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "remote"))

from vgg16.data.batches import Batches, find_pictures  # noqa: E402
from vgg16.data.nvdecode import Decoder  # noqa: E402
from vgg16.preprocess import TORCHVISION  # noqa: E402

WIDTH, HEIGHT, QUALITY = 500, 375, 90


def main() -> None:
    asked = _arguments()
    gpu = torch.cuda.is_available()
    count = asked.pictures or (8192 if gpu else 400)
    device = torch.device("cuda" if gpu else "cpu")
    decoder = Decoder(device)
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        size = _write_pictures(Path(folder), count)
        for _ in range(asked.rounds + 1):  # the first is a warm-up
            for name, chosen in (("Pillow, worker processes", None), (decoder.name, decoder)):
                rates.setdefault(name, []).append(_rate(Path(folder), chosen, asked.size, device))
    name = torch.cuda.get_device_name() if gpu else f"{platform.machine()} CPU"
    print(f"{time.strftime('%Y-%m-%d')}  {name}, PyTorch {torch.__version__}")
    print(
        f"{count:,} JPEGs of {WIDTH}x{HEIGHT}, {size / count / 1e3:.0f} kB each, to {asked.size}x{asked.size}"
    )
    (_, first), (_, second) = rates.items()
    for kind, found in rates.items():
        rate = statistics.median(found[1:])
        spread = (max(found[1:]) - min(found[1:])) / rate
        shown = f"{rate:>9,.0f} images/s" if gpu else ""
        share = rate / statistics.median(first[1:])
        print(f"{kind:50}{shown}{share:>8.2f}x  spread {spread:.0%}")
    print(f"median of {asked.rounds} rounds")


def _write_pictures(folder: Path, count: int) -> int:
    """Bytes of all."""
    random = np.random.default_rng(0)
    originals = [Image.fromarray(make()) for make in (data.chelsea, data.rocket, data.coffee, data.astronaut)]
    total = 0
    for kind in ("a", "b"):
        (folder / kind).mkdir()
    for number in range(count):
        image = originals[number % len(originals)]
        left, top = random.integers(0, 40, 2).tolist()
        cut = image.crop((left, top, image.width - 40 + left, image.height - 40 + top))
        path = folder / "ab"[number % 2] / f"{number}.jpg"
        cut.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(path, quality=QUALITY)
        total += path.stat().st_size
    return total


def _rate(folder: Path, decoder: Decoder | None, size: int, device: torch.device) -> float:
    """Images a second, on the device at the end."""
    batches = Batches(
        find_pictures(folder), TORCHVISION.at(size), batch_size=64, shuffle=True, decoder=decoder
    )
    started, count = time.perf_counter(), 0
    for images, _ in batches.epoch(0):
        images.to(device, non_blocking=True)
        count += len(images)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return count / (time.perf_counter() - started)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=224, help="pixels a side (default: %(default)s)")
    parser.add_argument("--pictures", type=int, help="how many (GPU: 8192, CPU: 400)")
    parser.add_argument("--rounds", type=int, default=3, help="of each (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
