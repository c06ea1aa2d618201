"""GPUs by nvidia-smi: how busy each is, and which compute processes use it."""

import os
from typing import Dict, List, Optional, Tuple, Union

from ..sample import Gpu, Unknown
from .command import find, run
from .text import shown

QUERY = ["--query-gpu=index,utilization.gpu", "--format=csv,noheader,nounits"]
APPS = ["pmon", "-c", "1", "-s", "u"]  # columns: gpu, pid, type, sm, mem, ... (%), command


def read_gpus(
    *, seconds: float, busy_from: float, devices: str = "/dev"
) -> Union[Tuple[Gpu, ...], Unknown, None]:
    """Every GPU; None without a card or its driver. One call while all are idle, a second (1 s) otherwise."""
    program = find("nvidia-smi")
    if not program:
        return Unknown("no nvidia-smi") if _has_device(devices) else None
    try:
        percents = _percents(run([program, *QUERY], seconds=seconds))
        if not any(percent is None or percent >= busy_from for percent in percents.values()):
            return tuple(Gpu(index, percent, False) for index, percent in percents.items())
        users = _users(program, seconds)
    except TimeoutError as error:
        return Unknown(shown(str(error)))
    except (OSError, ValueError) as error:
        # The driver makes its device files when it finds a card: nothing computes without them.
        return Unknown(shown(str(error))) if _has_device(devices) else None
    gpus = []
    for index, percent in percents.items():
        # Without a list of processes (pmon is not supported everywhere) a busy GPU counts as computing.
        working = None if users is None else [pid for pid, sm in users.get(index, []) if sm is None or sm > 0]
        gpus.append(Gpu(index, percent, working is None or bool(working), tuple(working or ())))
    return tuple(gpus)


def _has_device(folder: str) -> bool:
    return any(name.startswith("nvidia") for name in os.listdir(folder))


def _percents(output: str) -> Dict[int, Optional[float]]:
    percents = {}
    for line in output.splitlines():
        index, _, percent = line.partition(",")
        percents[int(index)] = _number(percent)
    if not percents:
        raise ValueError("nvidia-smi shows no GPU")
    return percents


def _users(program: str, seconds: float) -> Optional[Dict[int, List[Tuple[int, Optional[float]]]]]:
    try:
        output = run([program, *APPS], seconds=seconds)
    except TimeoutError:
        raise
    except OSError:
        return None
    users: Dict[int, List[Tuple[int, Optional[float]]]] = {}
    for line in output.splitlines():
        words = line.split()
        if line.startswith("#") or len(words) < 4 or words[1] == "-":
            continue
        if "C" in words[2]:  # C and C+G compute; G only draws
            users.setdefault(int(words[0]), []).append((int(words[1]), _number(words[3])))
    return users


def _number(text: str) -> Optional[float]:
    """ "97" -> 97.0; "[N/A]" and "-" (MIG, a card that does not tell) -> None."""
    try:
        return float(text)
    except ValueError:
        return None
