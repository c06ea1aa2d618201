"""JPEGs decoded per second: Pillow in worker processes, and the GPU's decoder.

    python benchmarks/vgg16_decode.py [--size PIXELS] [--pictures N] [--rounds N] [--pillow] [--json]

The files are crops of scikit-image's photographs (a cat, a rocket, coffee, a face) as JPEGs of 500x375, the
size of Dogs vs Cats. Both rows are remote/vgg16's batches of 64 from the kernel's file cache, including the
start of the workers. Without a GPU the second row uses nvImageCodec's CPU codec and a resize written for a
GPU, which tests the code but does not predict a box's speed.
"""

from __future__ import annotations

import argparse
import json
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

from vgg16.data.nvdecode import Decoder  # noqa: E402
from vgg16.model import TORCHVISION  # noqa: E402
from vgg16.pictures import Batches, find_pictures  # noqa: E402

WIDTH, HEIGHT, QUALITY = 500, 375, 90
DISTINCT = 256  # pictures; the others are copies


def main() -> None:
    asked = _arguments()
    gpu = torch.cuda.is_available()
    count = asked.pictures or (8192 if gpu else 400)
    device = torch.device("cuda" if gpu else "cpu")
    decoder = None if asked.pillow else Decoder(device)
    kinds = [("Pillow, worker processes", None)] + ([(decoder.name, decoder)] if decoder else [])
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        size = _write_pictures(Path(folder), count)
        for _ in range(asked.rounds + 1):  # the first is a warm-up
            for name, chosen in kinds:
                rates.setdefault(name, []).append(_rate(Path(folder), chosen, asked.size, device))
    if asked.json:
        print(json.dumps({kind: statistics.median(found[1:]) for kind, found in rates.items()}))
        return
    name = torch.cuda.get_device_name() if gpu else f"{platform.machine()} CPU"
    print(f"{time.strftime('%Y-%m-%d')}  {name}, PyTorch {torch.__version__}")
    print(
        f"{count:,} JPEGs of {WIDTH}x{HEIGHT}, {size / count / 1e3:.0f} kB each, to {asked.size}x{asked.size}"
    )
    first = next(iter(rates.values()))
    for kind, found in rates.items():
        rate = statistics.median(found[1:])
        spread = (max(found[1:]) - min(found[1:])) / rate
        shown = f"{rate:>9,.0f} images/s" if gpu else ""
        share = rate / statistics.median(first[1:])
        print(f"{kind:50}{shown}{share:>8.2f}x  spread {spread:.0%}")
    print(f"median of {asked.rounds} rounds")


def _write_pictures(folder: Path, count: int) -> int:
    """Write the files and return their total size in bytes."""
    random = np.random.default_rng(0)
    originals = [Image.fromarray(make()) for make in (data.chelsea, data.rocket, data.coffee, data.astronaut)]
    total = 0
    for kind in ("a", "b"):
        (folder / kind).mkdir()
    for number in range(count):
        path = folder / "ab"[number % 2] / f"{number}.jpg"
        if number >= DISTINCT:
            total += path.write_bytes((folder / "ab"[number % 2] / f"{number % DISTINCT}.jpg").read_bytes())
            continue
        image = originals[number % len(originals)]
        left, top = random.integers(0, 40, 2).tolist()
        cut = image.crop((left, top, image.width - 40 + left, image.height - 40 + top))
        cut.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(path, quality=QUALITY)
        total += path.stat().st_size
    return total


def _rate(folder: Path, decoder: Decoder | None, size: int, device: torch.device) -> float:
    """Images per second, until they are on the device."""
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
    parser.add_argument("--pillow", action="store_true", help="Pillow alone")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=3, help="of each (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
