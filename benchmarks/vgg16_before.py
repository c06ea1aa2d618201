"""The last layer's training beside that of an older commit, in turns, on one thread of a CPU.

    git worktree add --detach BEFORE a020296
    python benchmarks/vgg16_before.py BEFORE [--rounds N]

Rows: the training pass of epoch 2 (160 pictures, the published width, features cached: no picture's size
matters there), and the whole of `python -m vgg16 train --preset demo`. In processor seconds, because other
work on the machine counts less in them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path, help="a worktree of the older commit")
    parser.add_argument("--rounds", type=int, default=3, help="of each (default: %(default)s)")
    parser.add_argument("--passes", nargs=2, type=Path, metavar=("DATA", "CACHE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.passes:
        print(json.dumps(passes(*asked.passes)))
        return
    commits = {"before": asked.before.resolve(), "now": HERE}
    taken: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        faces = Path(folder, "faces")
        _run(HERE, ["-m", "vgg16", "data", "faces", "--to", str(faces)])
        for turn in range(asked.rounds):
            for name, commit in commits.items():
                words = [str(Path(__file__).resolve()), str(asked.before), "--passes", str(faces / "train")]
                output, _ = _run(commit, [*words, str(Path(folder, name))])
                taken.setdefault(("training pass of epoch 2", name), []).append(json.loads(output)[1])
                results = Path(folder, f"{name}{turn}")
                demo = ["-m", "vgg16", "train", "--preset", "demo", "--data", str(faces)]
                cache = ["--cache", str(results / "cache"), "--results", str(results)]
                _, seconds = _run(commit, [*demo, *cache])
                taken.setdefault(("demo", name), []).append(seconds)
    for row in ("training pass of epoch 2", "demo"):
        before, now = (statistics.median(taken[row, name]) for name in commits)
        print(f"{row:26}{before:9.3f} s{now:9.3f} s{before / now:8.2f} times faster")
    worst = max((max(found) - min(found)) / statistics.median(found) for found in taken.values())
    load = ", ".join(f"{figure:.1f}" for figure in os.getloadavg())
    print(f"medians of {asked.rounds}, largest spread {worst:.0%}; load {load} on {os.cpu_count()} cores")


def passes(data: Path, cache: Path) -> list[float]:
    """Seconds of two training passes without held-out pictures; the cache is filled before the first ends."""
    import torch

    from vgg16.lesson import Vgg16
    from vgg16.report import Silent

    torch.set_num_threads(1)
    vgg = Vgg16("none", size=64, cache=cache, report=Silent())
    batches = vgg.get_batches(data, batch_size=64)
    vgg.finetune(batches)
    found, started = [], time.process_time()
    for _ in vgg.epochs(batches, None, 2):
        found.append(time.process_time() - started)
        started = time.process_time()
    return found


def _run(commit: Path, words: list[str]) -> tuple[str, float]:
    """Output, and the processor seconds of the process."""
    environment = os.environ | {"PYTHONPATH": str(commit / "remote"), "OMP_NUM_THREADS": "1"}
    before = os.times()
    ran = subprocess.run(
        [sys.executable, *words], env=environment, cwd=commit, stdout=subprocess.PIPE, text=True, check=True
    )
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return ran.stdout.strip().splitlines()[-1], seconds


if __name__ == "__main__":
    main()
