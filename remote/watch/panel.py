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
from .read.command import find, run
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
    """Empty where there is no NVIDIA driver."""
    program = find("nvidia-smi")
    if not program:
        return []
    try:
        output = run([program, "--query-gpu=" + _QUERY, "--format=csv,noheader,nounits"], seconds=5.0)
        return [_gpu(line) for line in output.splitlines()]
    except (OSError, ValueError):
        return None


def _gpu(line: str) -> Dict[str, Any]:
    name, percent, used, total, celsius = (word.strip() for word in line.split(","))
    return {
        "name": name,
        "percent": _number(percent),
        "memory": [float(used) * _MIB, float(total) * _MIB],
        "celsius": _number(celsius),
    }


def _number(text: str) -> Optional[float]:
    """None for "[N/A]" and "[Not Supported]"."""
    return float(text) if text.replace(".", "", 1).isdigit() else None
