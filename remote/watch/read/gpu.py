"""GPUs by nvidia-smi: how busy each is, and which compute processes use it.

A GPU computes when a compute process uses it: the processes that draw a desktop make it busy, too. `pmon`
says how much each process uses. It lists 4 or 16 GPUs at most, depending on the driver, and is not supported
everywhere (MIG, some configurations); for the others `--query-compute-apps` names the processes.
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
    percent: Optional[float]  # None: MIG, a lost card, a driver that does not say
    uuid: str


class User(NamedTuple):
    """A process on a GPU."""

    pid: int
    kind: str  # C computes, by MPS M or M+C; G draws; C+G both (nvidia-smi(1), "Processes")
    percent: Optional[float]


def read_gpus(
    *, seconds: float, busy_from: float, devices: str = "/dev"
) -> Union[Tuple[Gpu, ...], Unknown, None]:
    """Every GPU; None without a card or its driver. One call while all are idle, two or three otherwise.

    seconds: for each call. busy_from: percent below which a GPU is idle, whatever process is on it.
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
        # The driver makes its device files when it finds a card: nothing computes without them.
        return Unknown(shown(str(error))) if _has_device(devices) else None
    known = {card.uuid for card in cards}
    gpus = []
    for card in cards:
        pids, told = _computing(users.get(card.index, ())), True
        if card.percent is None or card.index not in users:
            # The processes of a MIG instance may be listed under its own identifier.
            own = [pid for uuid, pid in apps or () if uuid == card.uuid or uuid not in known]
            pids, told = sorted({*pids, *own}), apps is not None
        if card.percent is not None and card.percent < busy_from:
            pids, told = [], True
        # A busy one whose processes nvidia-smi does not list counts as computing.
        gpus.append(Gpu(card.index, card.percent, bool(pids) or not told, tuple(pids)))
    return tuple(gpus)


def _has_device(folder: str) -> bool:
    return any(name.startswith("nvidia") for name in os.listdir(folder))


def _cards(program: str, seconds: float) -> List[Card]:
    """Those that answer. Warnings stand between their lines, and a lost card fails the call (status 15)."""
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
    """Processes by GPU index; a GPU that is not listed is missing."""
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
    """(uuid, pid) of each compute process; None when nvidia-smi does not say."""
    output, status = answer([program, *APPS], seconds=seconds)
    apps = [(words[0], int(words[1])) for words in _rows(output, 2) if words[1].isdigit()]
    return None if status and not apps else apps


def _computing(users: Sequence[User]) -> List[int]:
    """The pids that compute. "-" is a process that was not seen working, or a GPU that tells of none."""
    silent = all(user.percent is None for user in users)
    return [
        user.pid for user in users if user.kind != "G" and (user.percent or (silent and "G" not in user.kind))
    ]


def _rows(output: str, columns: int) -> List[List[str]]:
    rows = [[word.strip() for word in line.split(",")] for line in output.splitlines()]
    return [words for words in rows if len(words) == columns]


def _number(text: str) -> Optional[float]:
    """ "97" -> 97.0; "-", "[N/A]", "[Unknown Error]", "[GPU is lost]" and the like -> None."""
    try:
        return float(text)
    except ValueError:
        return None
