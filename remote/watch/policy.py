"""Every threshold and limit with unit and default; read from policy.json or `--policy k=v`."""

import json
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

FAR = 1e16  # s or bytes/s; larger values are rejected: localtime(3) fails on them
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Policy(NamedTuple):
    """Times are seconds; each may be given as "90s", "30m", "2h" or "1d"."""

    idle_after: float = 1800.0  # stop after this long without use
    stuck_after: float = 7200.0  # total time that failed readings and stuck work can delay that
    max_hours: Optional[float] = 12.0  # hours after boot at which to stop, whatever runs
    deadline: Optional[float] = (
        None  # Unix time at which to stop this session; replaces max_hours and stop_at
    )
    stop_at: Optional[str] = None  # "23:00", local time of day at which to stop, whatever runs
    tz: Optional[str] = None  # the time zone of stop_at, "Europe/Berlin"; None: the machine's own
    warn: Tuple[float, ...] = (600.0, 120.0)  # warn this long ahead
    settle: float = 300.0  # no idle stop sooner than this after boot
    interval: float = 15.0  # between samples
    notice: float = 0.0  # between polls for a spot interruption notice; 0: not a spot box
    slow: float = 60.0  # between readings that cost a process or a request (gpu, jupyter)
    probe_timeout: float = 10.0  # for nvidia-smi and Jupyter
    window: float = 60.0  # for the means of cpu, disk and network: one burst is not work
    gpu_window: float = 180.0  # spans several nvidia-smi readings: a data loader's pause is still work
    gpu_percent: float = 1.0  # utilisation, if a compute process uses the GPU
    cpu_cores: float = 0.10  # cores
    disk_bps: float = 1e6  # bytes/s
    network_bps: float = 1e6  # bytes/s
    transfer_bps: float = 1e5  # bytes/s of rsync, curl, git and the like: a tenth of a slow uplink
    progress_cores: float = 0.05  # a kernel or job below this and below progress_bps is stuck
    progress_bps: float = 1e5  # bytes/s
    guard_after: float = 900.0  # the guard stops the box after this long without a new heartbeat
    budget_marks: Tuple[
        Tuple[float, float], ...
    ] = ()  # (percent of the budget, Unix time when it is reached)
    stop_command: Tuple[str, ...] = ()  # instead of the system's poweroff


TEXTS = ("stop_at", "tz")
NUMBERS: Tuple[str, ...] = ("max_hours", "deadline", "gpu_percent", "cpu_cores", "disk_bps", "network_bps")
NUMBERS += ("transfer_bps", "progress_cores", "progress_bps")


def parse(values: Dict[str, Any], base: Policy = Policy()) -> Tuple[Policy, List[str]]:  # noqa: B008
    """Apply values to `base`. Returns the policy and one complaint per invalid value, which is ignored."""
    good, wrong = {}, []
    for key, value in values.items():
        try:
            if key not in Policy._fields:
                raise ValueError("no such key")
            good[key] = _value(key, value)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            shown = type(value).__name__ if isinstance(value, (list, dict)) else "%.100r" % (value,)
            wrong.append("%s=%s: %s" % (key, shown, error))
    return base._replace(**good), wrong


def load(path: str) -> Tuple[Policy, List[str]]:
    """Read the policy. A missing file gives the defaults, an invalid one the defaults and a complaint."""
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
        return parse(values) if isinstance(values, dict) else (Policy(), ["%s: not an object" % path])
    except FileNotFoundError:
        return Policy(), []
    except (OSError, ValueError, RecursionError) as error:
        return Policy(), ["%s: %s" % (path, error)]


def seconds(value: Any) -> float:
    """90, "90", "90s", "30m", "2h", "1d" -> seconds. Raises ValueError for anything else or below zero."""
    if isinstance(value, str) and value[-1:] in SECONDS:
        result = float(value[:-1]) * SECONDS[value[-1]]
    else:
        result = float(value)
    if not 0 <= result < FAR:
        raise ValueError("not a duration")
    return result


def clock(value: str) -> Tuple[int, int]:
    """ "23:00" -> (23, 0). Raises ValueError if it is not a time of day."""
    hour, minute = (int(part) for part in value.split(":"))
    if not (0 <= hour < 24 and 0 <= minute < 60):
        raise ValueError("not a time of day")
    return hour, minute


def _value(key: str, value: Any) -> Any:
    if value is None or value == "":
        if key in ("max_hours", "deadline", *TEXTS):
            return None
        if key == "budget_marks":
            return ()
        raise ValueError("needs a value")
    if key in TEXTS:
        if not isinstance(value, str) or "\0" in value:
            raise ValueError("not a text")
        if key == "stop_at":
            clock(value)
        return value
    if key == "stop_command":
        return tuple(str(word) for word in (value.split() if isinstance(value, str) else value))
    if key == "budget_marks":
        pairs = [mark.split(":") for mark in value.split(",")] if isinstance(value, str) else value
        return tuple((float(percent), float(at)) for percent, at in pairs)
    if key == "warn":
        leads = value.split(",") if isinstance(value, str) else value
        return tuple(sorted((seconds(lead) for lead in leads), reverse=True))
    if key == "max_hours" and isinstance(value, str) and value[-1:] in SECONDS:
        return seconds(value) / 3600.0
    number = seconds(value)
    if key in NUMBERS:
        return number
    if number <= 0 and key in ("interval", "slow", "probe_timeout", "window", "guard_after"):
        raise ValueError("must be above zero")
    return number
