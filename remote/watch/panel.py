"""What `gpu-box status --watch` shows while it looks: one JSON object a line, until its reader goes away.

    {"at": Unix time, "status": as `watch status --json`, "cores": n, "load": runnable processes (1 min mean),
     "memory": [used, total] in bytes, "gpus": [{"name", "percent", "memory": [used, total] in bytes,
     "celsius"}, ...], null where it cannot be told}

nvidia-smi is asked anew each time, for somebody looks; the watcher's own reading is up to a minute old.
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
    """Until standard output is closed (BrokenPipeError)."""
    place = find_place()
    while True:
        told: Dict[str, Any] = {
            "at": time.time(),
            "status": status(place),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "load": os.getloadavg()[0],
            "memory": _memory(),
            "gpus": _gpus(),
        }
        print(json.dumps(told, separators=(",", ":")), flush=True)
        time.sleep(every)


def _memory() -> Optional[List[int]]:
    """Used is what cannot be had without swapping: all but MemAvailable (proc(5))."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        total, free = (int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return None
    return [total - free, total]


def _gpus() -> Optional[List[Dict[str, Any]]]:
    """Those that answer: a warning or a lost card hides no other. Empty without an NVIDIA driver."""
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
    """None for "[N/A]" and "[Not Supported]"."""
    return float(text) if text.replace(".", "", 1).isdigit() else None
