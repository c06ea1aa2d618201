"""A sample: one reading of every signal at one moment, as one line of JSON.

    {"boot": "6e1c...", "mono": 812.4, "wall": 1767225600.0, "up": 815.0, "over": 15.0,
     "gpu": [{"gpu": 0, "percent": 97.0, "compute": true, "pids": [812]}],
     "cpu": {"value": 0.98, "who": "python"},
     "disk": {"value": 0.0, "who": ""}, "network": {"value": 2.1e5, "who": "rsync"},
     "ssh": [{"name": "pts/0", "quiet": 34.0}, {"name": "vscode-server", "quiet": 81.0}],
     "jupyter": {"kernels": [{"name": "lesson1.ipynb", "state": "busy", "quiet": 3.0, "cores": 0.9,
                              "bps": 0.0, "gpu": true}],
                 "documents": [{"name": "lesson1.ipynb", "quiet": 81.0}], "silent": []},
     "job": [{"name": "train", "cores": 1.0, "bps": 0.0, "gpu": true, "quiet": 2.0},
             {"name": "next", "queued": true}],
     "keep": 0.0, "then": ""}

boot    the kernel's boot id; it differs after each start
mono    CLOCK_MONOTONIC, s: is never set and pauses in a suspend; all durations use it
wall    Unix time, s: for display and to compare with a deadline
up      s since boot, suspends included
over    s over which cpu, disk, network and the figures of kernels and jobs are means (0: the first sample)
quiet   s since the last use (keystroke, execution, save, write); null: unknown
queued  the job waits in the queue
then    why the machine is to stop now that its last job has ended (`run --detach --then stop`); "": it is not
cores   mean number of busy cores; bps: bytes/s to and from disks; percent: utilisation, 0-100, null: unknown

A reading that failed is `{"unknown": "why"}`; one that this machine does not have (no GPU, no Jupyter) is
null. A line `{"event": "poweroff", "boot": ..., "wall": ...}` marks an orderly stop.
"""

import json
from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

from .read.text import shown


class Unknown(NamedTuple):
    """A reading that failed."""

    unknown: str


class Gpu(NamedTuple):
    gpu: int  # its number
    percent: Optional[float]
    compute: bool  # a compute process is using it, not only holding its memory
    pids: Tuple[int, ...] = ()


class Rate(NamedTuple):
    value: float  # cores or bytes/s
    who: str  # the process that used most; for network the transfer, "" for other sockets


SYNC = "gpu-box sync"  # name of the reading for files that travel to or from the laptop


class Used(NamedTuple):
    """A terminal, an editor, a file transfer of gpu-box (SYNC) or a document."""

    name: str
    quiet: Optional[float]


class Kernel(NamedTuple):
    name: str
    state: str  # Jupyter's execution_state: busy, idle, starting, ...
    quiet: Optional[float]
    cores: float = 0.0
    bps: float = 0.0
    gpu: bool = False


class Jupyter(NamedTuple):
    kernels: Tuple[Kernel, ...] = ()
    documents: Tuple[Used, ...] = ()
    silent: Tuple[str, ...] = ()  # servers that do not answer, with the error


class Job(NamedTuple):
    name: str
    cores: float = 0.0
    bps: float = 0.0
    gpu: bool = False
    quiet: Optional[float] = None  # since its log grew
    queued: bool = False


class Sample(NamedTuple):
    boot: str
    mono: float
    wall: float
    up: float
    over: float
    gpu: Union[Tuple[Gpu, ...], Unknown, None] = None
    cpu: Union[Rate, Unknown, None] = None
    disk: Union[Rate, Unknown, None] = None
    network: Union[Rate, Unknown, None] = None
    ssh: Union[Tuple[Used, ...], Unknown, None] = None
    jupyter: Union[Jupyter, Unknown, None] = None
    job: Union[Tuple[Job, ...], Unknown, None] = None
    keep: Union[float, Unknown, None] = None  # s left
    then: str = ""


class Event(NamedTuple):
    event: str  # "poweroff"
    boot: str
    wall: float


SIGNALS = ("gpu", "cpu", "disk", "network", "ssh", "jupyter", "job", "keep")
FAR = 1e16  # larger numbers are rejected: localtime(3) fails on them
READINGS = [Sample.__annotations__[name] for name in SIGNALS]
ITEMS: Dict[str, Any] = {"gpu": Gpu, "ssh": Used, "job": Job}


def dump(sample: Union[Sample, Event]) -> str:
    """One line of JSON, without its newline."""
    return json.dumps(plain(sample), separators=(",", ":"))


def parse(line: str) -> Union[Sample, Event]:
    """Parse a line. Raises ValueError for anything but a sample or event, such as a truncated line."""
    try:
        data = json.loads(line)
        if "event" in data:
            return _made(Event, data)
        for name in SIGNALS:
            data[name] = _reading(name, data.get(name))
        return _made(Sample, data)
    except (TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError("not a sample: %s" % error) from error


def plain(value: Any) -> Any:
    """Convert named tuples to dictionaries and tuples to lists, and round floats to three places."""
    if hasattr(value, "_asdict"):
        return {key: plain(item) for key, item in value._asdict().items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return round(value, 3) if isinstance(value, float) else value


def _reading(name: str, data: Any) -> Any:
    if isinstance(data, dict) and "unknown" in data:
        return _made(Unknown, data)
    if data is None:
        return None
    if name == "keep":
        return _fitting(float, data)
    if name in ITEMS:
        return tuple(_made(ITEMS[name], item) for item in data)
    if name == "jupyter":
        kernels = tuple(_made(Kernel, item) for item in data["kernels"])
        documents = tuple(_made(Used, item) for item in data["documents"])
        return Jupyter(kernels, documents, _fitting(Tuple[str, ...], data.get("silent", [])))
    return _made(Rate, data)


def _made(kind: Any, data: Dict[str, Any]) -> Any:
    """Make the named tuple from these fields. Raises ValueError or TypeError for a wrong type."""
    types = kind.__annotations__
    return kind(**{name: _fitting(types.get(name), value) for name, value in data.items()})


def _fitting(kind: Any, value: Any) -> Any:
    if kind in (Tuple[int, ...], Tuple[str, ...]) and isinstance(value, list):
        return tuple(_fitting(kind.__args__[0], item) for item in value)
    if kind == Optional[float]:
        return None if value is None else _fitting(float, value)
    if kind is float and not isinstance(value, bool) and isinstance(value, (int, float)):
        if not abs(value) < FAR:
            raise ValueError("not a number")
        return value
    if kind is str and isinstance(value, str):
        return shown(value)
    if kind in (bool, int) and type(value) is kind:
        return value
    if kind in READINGS:
        return value  # already converted
    raise ValueError("not a %s: %.40r" % (kind, value))
