"""What the idle watcher costs a box: its processor time and memory, as the kernel counts them.

    python benchmarks/watch_cost.py [MINUTES]      default 10

Runs the watcher as on a box (every 15 s, with its log and the whole /proc) in a folder of its own, and
never lets it stop anything.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REMOTE = Path(__file__).resolve().parents[1] / "remote"
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "policy.json").write_text(json.dumps({"idle_after": "30d", "max_hours": None}))
        watcher = subprocess.Popen(
            [PYTHON, "-E", "-s", "-S", "-m", "watch", "run"],
            cwd=REMOTE,
            env={**os.environ, "GPU_BOX_WATCH": folder},
        )
        try:
            time.sleep(20)  # start and first sample: paid once a boot
            start, begin = _cpu_seconds(watcher.pid), time.monotonic()
            time.sleep(minutes * 60)
            used, elapsed = _cpu_seconds(watcher.pid) - start, time.monotonic() - begin
            memory = _resident_mib(watcher.pid)
        finally:
            watcher.kill()
            watcher.wait()
        samples = len(Path(folder, "samples.jsonl").read_text().splitlines())
    processes = sum(name.isdigit() for name in os.listdir("/proc"))
    print(f"{platform.platform()}, {os.cpu_count()} cores, {processes} processes")
    print(f"{elapsed / 60:.0f} minutes, {samples} samples")
    print(f"processor  {100 * used / elapsed:.3f} % of one core, its children's included   (limit 0.1 %)")
    print(f"memory     {memory:.1f} MiB resident                            (limit 20 MB)")


def _cpu_seconds(pid: int) -> float:
    """Its own and its ended children's (nvidia-smi)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("no VmRSS")


if __name__ == "__main__":
    main()
