"""The data behind `gpu-box status --watch`: one JSON object per line, until the reader closes the pipe.

    {"at": Unix time, "status": as `watch status --json`, "cores": n, "load": runnable processes (1 min mean),
     "memory": [used, total] in bytes, "gpus": [{"name", "percent", "memory": [used, total] in bytes,
     "celsius"}, ...]}; null: unknown

Calls nvidia-smi each time, because the watcher's own reading can be a minute old.
"""

import json
import os
import time
from typing import Any, Dict, List, Optional

from .place import find as find_place
from .read.command import answer, find
from .status import status

_QUERY = "name,utilization.gpu,memory.used,memory.total,temperature.gpu"
_MIB = 1 << 20


def show(every: float) -> None:
    """Print a line every `every` seconds. Raises BrokenPipeError once standard output is closed."""
    place = find_place()
    while True:
        shown: Dict[str, Any] = {
            "at": time.time(),
            "status": status(place),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "load": os.getloadavg()[0],
            "memory": _memory(),
            "gpus": _gpus(),
        }
        print(json.dumps(shown, separators=(",", ":")), flush=True)
        time.sleep(every)


def _memory() -> Optional[List[int]]:
    """[used, total] in bytes; used is MemTotal - MemAvailable (proc(5)). None if unreadable."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        total, free = (int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return None
    return [total - free, total]


def _gpus() -> Optional[List[Dict[str, Any]]]:
    """The GPUs that answer, despite warnings and lost cards. Empty without an NVIDIA driver."""
    program = find("nvidia-smi")
    if not program:
        return []
    try:
        output, status = answer(
            [program, "--query-gpu=" + _QUERY, "--format=csv,noheader,nounits"], seconds=5.0
        )
    except OSError:
        return None
    rows = [[word.strip() for word in line.split(",")] for line in output.splitlines()]
    gpus = [_gpu(*row) for row in rows if len(row) == 5 and None not in map(_number, row[2:4])]
    return gpus if gpus or not status else None


def _gpu(name: str, percent: str, used: str, total: str, celsius: str) -> Dict[str, Any]:
    return {
        "name": name,
        "percent": _number(percent),
        "memory": [float(used) * _MIB, float(total) * _MIB],
        "celsius": _number(celsius),
    }


def _number(text: str) -> Optional[float]:
    """Parse a number; None for "[N/A]" and "[Not Supported]"."""
    return float(text) if text.replace(".", "", 1).isdigit() else None
