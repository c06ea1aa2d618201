"""Lists the jobs for the laptop: state, times, and the GPUs on which they compute."""

import contextlib
import json
from typing import Any, Dict, List

from jobs.job import Job, every, is_number
from jobs.queue import waiting
from setup.processes import environment_of

_LAST = 3
_GPUS_WITHIN_S = 5.0  # for each call of nvidia-smi


def describe(*, gpus: bool) -> List[Dict[str, Any]]:
    """Every job; those that wait last, in their order. gpus: ask nvidia-smi, which may take seconds."""
    line = [job.name for job in waiting()]
    found = [_describe(job) for job in every()]
    found.sort(key=lambda each: line.index(each["name"]) if each["name"] in line else -1)
    if gpus and any(each["state"] == "running" for each in found):
        used = _gpus()
        for each in found:
            if each["state"] == "running":
                each["gpus"] = each["gpus"] or used.get(each["name"], [])
    return found


def latest() -> List[Dict[str, Any]]:
    """The jobs that run or wait, and the last that ended, for `status`: those few files are read."""
    jobs, ended = every(), []
    for job in jobs:
        with contextlib.suppress(OSError):
            ended.append(((job.folder / "exit").stat().st_mtime, job.name))
    last = {name for _, name in sorted(ended)[-_LAST:]}
    over = {name for _, name in ended}
    chosen = [job for job in jobs if job.name not in over or job.name in last]
    return [_describe(job) for job in sorted(chosen, key=_turn)]


def _turn(job: Job) -> str:
    """In the order of their starts; those that wait last, in theirs."""
    return "~" + job.read("turn") if job.waiting else job.read("started")


def _describe(job: Job) -> Dict[str, Any]:
    return {
        "name": job.name,
        "command": job.read("command"),
        "state": job.state(),
        "queued": bool(job.read("turn")),
        "started": job.read("started"),
        "ended": job.read("ended"),
        "exit_status": job.exit_status(),
        "pull": _patterns(job),
        "gpus": [int(card) for card in job.read("cards").split(",") if is_number(card)],
    }


def _patterns(job: Job) -> List[str]:
    try:
        found = json.loads(job.read("pull") or "[]")
    except ValueError:
        return []
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _gpus() -> Dict[str, List[int]]:
    """The GPUs on which each job computes at the moment, by its name."""
    from watch.read.gpu import read_gpus  # imported here because `stop` waits for a list, and not for long
    from watch.sample import Unknown

    gpus = read_gpus(seconds=_GPUS_WITHIN_S, busy_from=0.0)
    used: Dict[str, List[int]] = {}
    for gpu in () if gpus is None or isinstance(gpus, Unknown) else gpus:
        for name in {environment_of(pid, "GPU_BOX_JOB") for pid in gpu.pids} - {""}:
            used.setdefault(name, []).append(gpu.gpu)
    return used
