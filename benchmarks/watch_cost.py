"""The idle watcher's cost on a box: CPU time, memory and the size of its log.

    python -m benchmarks.watch_cost [MINUTES]      default 10

Runs the watcher as on a box (every 15 s, with its log and the whole /proc), but it cannot stop anything. The
log holds a year of samples, written by the watcher's code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import measure
from .page import on_screen
from .row import Row, Wait

REMOTE = Path(__file__).resolve().parents[1] / "remote"
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
YEAR_S = 365 * 86400
INTERVAL_S = 15

# Appends a year of samples to a log and prints its largest size after each month.
WRITE_A_YEAR = """
import os, sys
from watch.log import Log
from watch.sample import parse
folder, samples, first = sys.argv[1], int(sys.argv[2]), parse(sys.argv[3])
log, largest = Log(folder), 0
for number in range(1, samples + 1):
    log.append(first._replace(mono=15.0 * number, wall=1.7e9 + 15.0 * number))
    if number % 500 == 0:
        largest = max(largest, sum(file.stat().st_size for file in os.scandir(folder)))
    if number % (samples // 12) == 0:
        print(largest)
"""


def rows(minutes: float | None = None) -> Iterator[Row]:
    minutes = minutes or (0.5 if measure.quick else 10.0)
    with tempfile.TemporaryDirectory() as folder:
        percent, mib = _watched(Path(folder), minutes)
        processes = sum(name.isdigit() for name in os.listdir("/proc"))
        sample = Path(folder, "samples.jsonl").read_text().splitlines()[-1]
    runs = f"{minutes:g} min, {processes} processes"
    yield Row(
        wait=Wait.WATCHER, what="processor, its children's included", ours=f"{percent:.3f} % of a core",
        aim="0.1 %", met=percent <= 0.1, runs=runs,
    )  # fmt: skip
    yield Row(
        wait=Wait.WATCHER, what="memory", ours=f"{mib * 1.048576:.1f} MB",
        aim="20 MB", met=mib * 1.048576 <= 20, runs=runs,
    )  # fmt: skip
    samples = YEAR_S // INTERVAL_S // (20 if measure.quick else 1)
    months = _log_mb(sample, samples)
    yield Row(
        wait=Wait.WATCHER, what="its log over a simulated year, at its largest", ours=f"{months[-1]:.2f} MB",
        beside=f"over the first of 12 months {months[0]:.2f} MB", aim="bounded",
        met=months[-1] <= 1.01 * months[1], runs=f"{samples} samples",
    )  # fmt: skip


def _watched(folder: Path, minutes: float) -> tuple[float, float]:
    """(percent of one core, MiB resident)."""
    (folder / "policy.json").write_text(json.dumps({"idle_after": "30d", "max_hours": None}))
    watcher = subprocess.Popen(
        [PYTHON, "-E", "-s", "-S", "-m", "watch", "run"],
        cwd=REMOTE,
        env={**os.environ, "GPU_BOX_WATCH": str(folder)},
    )
    try:
        time.sleep(20)  # exclude the start and the first sample
        start, begin = _cpu_seconds(watcher.pid), time.monotonic()
        time.sleep(minutes * 60)
        used, elapsed = _cpu_seconds(watcher.pid) - start, time.monotonic() - begin
        return 100 * used / elapsed, _resident_mib(watcher.pid)
    finally:
        watcher.kill()
        watcher.wait()


def _log_mb(sample: str, samples: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        words = [PYTHON, "-c", WRITE_A_YEAR, folder, str(samples), sample]
        printed = subprocess.run(words, cwd=REMOTE, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [int(line) / 1e6 for line in printed.split()]


def _cpu_seconds(pid: int) -> float:
    """The process's CPU time, including its ended children (nvidia-smi)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("no VmRSS")


if __name__ == "__main__":
    print(on_screen(list(rows(float(sys.argv[1]) if len(sys.argv) > 1 else None))))
