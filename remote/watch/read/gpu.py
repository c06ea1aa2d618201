"""GPU utilisation and compute processes, from nvidia-smi.

Only compute processes count as work; a desktop makes a GPU busy too. `pmon` gives the utilisation per
process, but lists only 4 or 16 GPUs (depending on the driver) and does not support MIG and some other
configurations. For the rest `--query-compute-apps` lists the processes.
"""

import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..sample import Gpu, Unknown
from .command import answer, find
from .text import shown

QUERY = ["--query-gpu=index,utilization.gpu,uuid", "--format=csv,noheader,nounits"]
PROCESSES = ["pmon", "-c", "1", "-s", "u"]  # columns: gpu, pid, type, sm (%), ...; it takes 1 s
APPS = ["--query-compute-apps=gpu_uuid,pid", "--format=csv,noheader,nounits"]


class Card(NamedTuple):
    index: int
    percent: Optional[float]  # None: not reported (MIG, a lost card, some drivers)
    uuid: str


class User(NamedTuple):
    """A process on a GPU."""

    pid: int
    kind: str  # C computes, by MPS M or M+C; G draws; C+G both (nvidia-smi(1), "Processes")
    percent: Optional[float]


def read_gpus(
    *, seconds: float, busy_from: float, devices: str = "/dev"
) -> Union[Tuple[Gpu, ...], Unknown, None]:
    """Every GPU; None without a card or driver. One call while all are idle, otherwise two or three.

    seconds: the limit of each call. busy_from: a GPU below this percentage is idle, whatever processes it
    has.
    """
    program = find("nvidia-smi")
    if not program:
        return Unknown("no nvidia-smi") if _has_device(devices) else None
    try:
        cards = _cards(program, seconds)
        if all(card.percent is not None and card.percent < busy_from for card in cards):
            return tuple(Gpu(card.index, card.percent, False) for card in cards)
        users, apps = _users(program, seconds), None
        if any(card.percent is None or card.index not in users for card in cards):
            apps = _apps(program, seconds)
    except TimeoutError as error:
        return Unknown(shown(str(error)))
    except (OSError, ValueError) as error:
        # Without the driver's device files there is no usable card.
        return Unknown(shown(str(error))) if _has_device(devices) else None
    known = {card.uuid for card in cards}
    gpus = []
    for card in cards:
        pids, listed = _computing(users.get(card.index, ())), True
        if card.percent is None or card.index not in users:
            # Processes of a MIG instance can be listed under the instance's UUID.
            own = [pid for uuid, pid in apps or () if uuid == card.uuid or uuid not in known]
            pids, listed = sorted({*pids, *own}), apps is not None
        if card.percent is not None and card.percent < busy_from:
            pids, listed = [], True
        # A busy GPU whose processes nvidia-smi does not list counts as computing.
        gpus.append(Gpu(card.index, card.percent, bool(pids) or not listed, tuple(pids)))
    return tuple(gpus)


def _has_device(folder: str) -> bool:
    return any(name.startswith("nvidia") for name in os.listdir(folder))


def _cards(program: str, seconds: float) -> List[Card]:
    """The GPUs that answer. Skips warnings between the lines and status 15 of a lost card."""
    output, status = answer([program, *QUERY], seconds=seconds)
    cards = []
    for words in _rows(output, 3):
        if words[0].isdigit():
            cards.append(Card(int(words[0]), _number(words[1]), words[2]))
    if not cards:
        said = output.strip().splitlines()
        raise ValueError("nvidia-smi: %s" % (said[0] if said else "no answer (status %d)" % status))
    return cards


def _users(program: str, seconds: float) -> Dict[int, List[User]]:
    """Processes by GPU index, without GPUs that pmon does not list."""
    users: Dict[int, List[User]] = {}
    for line in answer([program, *PROCESSES], seconds=seconds)[0].splitlines():
        words = line.split()
        if len(words) < 4 or not words[0].isdigit():
            continue  # a header, a warning, "Not supported on the device(s)"
        found = users.setdefault(int(words[0]), [])
        if words[1].isdigit():
            found.append(User(int(words[1]), words[2], _number(words[3])))
    return users


def _apps(program: str, seconds: float) -> Optional[List[Tuple[str, int]]]:
    """(uuid, pid) of each compute process; None if nvidia-smi cannot list them."""
    output, status = answer([program, *APPS], seconds=seconds)
    apps = [(words[0], int(words[1])) for words in _rows(output, 2) if words[1].isdigit()]
    return None if status and not apps else apps


def _computing(users: Sequence[User]) -> List[int]:
    """The pids that compute. "-" means that a process was idle or that the GPU reports no such figures."""
    silent = all(user.percent is None for user in users)
    return [
        user.pid for user in users if user.kind != "G" and (user.percent or (silent and "G" not in user.kind))
    ]


def _rows(output: str, columns: int) -> List[List[str]]:
    rows = [[word.strip() for word in line.split(",")] for line in output.splitlines()]
    return [words for words in rows if len(words) == columns]


def _number(text: str) -> Optional[float]:
    """ "97" -> 97.0; "-", "[N/A]", "[Unknown Error]", "[GPU is lost]" -> None."""
    try:
        return float(text)
    except ValueError:
        return None
