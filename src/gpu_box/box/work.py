"""What one does on a box that is up: attach, sync, run, train. Nothing here ever starts a box."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

from gpu_box.aws.client import Cloud
from gpu_box.box import project, spent, stop
from gpu_box.box.find import find_host, host_of, where, whereabouts
from gpu_box.box.project import WORK
from gpu_box.errors import GpuBoxError, InputError, MachineError
from gpu_box.machine import jobs
from gpu_box.machine.files import sync
from gpu_box.machine.jupyter_login import Door
from gpu_box.machine.ssh import attach
from gpu_box.machine.ssh.connection import Connection, connect
from gpu_box.machine.ssh.shell import quote
from gpu_box.machine.ssh.tunnel import Tunnel
from gpu_box.model.machine import SyncResult
from gpu_box.model.observed import Observed
from gpu_box.model.progress import Reporter
from gpu_box.model.results import JobStarted

TRAIN_JOB = "train"
_LESSON = "notebooks/lesson1.ipynb"  # below ~/work, JupyterLab's root
RESTARTS = 3  # of all ranks, when one of them dies
# For the machine's shell: sets `ranks` to what python is to run where there is more than one GPU.
ONE_A_GPU = (
    "gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU'); ranks=; "
    '[ "$gpus" -le 1 ] || ranks="-m vgg16.launch --standalone --local-addr=127.0.0.1 --nproc-per-node=$gpus '
    f'--max-restarts={RESTARTS}"; '
)


def ssh_command(cloud: Cloud, command: Sequence[str], *, tty: bool) -> list[str]:
    """The system's own ssh, verified and ready to be executed in our place."""
    return attach.ssh_command(find_host(cloud, entering=False), command, tty=tty)


def ssh(cloud: Cloud, command: Sequence[str]) -> int:
    """A command there on our own streams, signals passed on; its exit status."""
    return attach.run(find_host(cloud, entering=False), command)


@contextmanager
def tunnel(cloud: Cloud, port: int, local_port: int, report: Reporter) -> Iterator[Tunnel]:
    with Tunnel(
        find_host(cloud),
        remote_port=port,
        local_port=local_port,
        report=report,
        find=partial(whereabouts, cloud),
    ) as link:
        yield link


@contextmanager
def jupyter(cloud: Cloud, report: Reporter) -> Iterator[tuple[Tunnel, str, str]]:
    """A tunnel to JupyterLab, the page to begin with (the lesson's, if it is there), and its token."""
    host = find_host(cloud)
    with connect(host) as connection:
        port, token, page = _jupyter_access(connection)
        with Tunnel(
            host,
            remote_port=port,
            local_port=cloud.config.jupyter.port,
            report=report,
            find=partial(whereabouts, cloud),
            port_of=lambda connection: _jupyter_access(connection)[0],  # a start may give it another
            connection=connection,
        ) as link:
            yield link, page, token


def door(link: Tunnel, page: str, token: str) -> Door:
    """For a browser here: in its `with` block, an address that leads to the page of that JupyterLab, once."""
    return Door(port=link.local_port, page=page, token=token)


def push(cloud: Cloud, *, delete: bool, report: Reporter) -> SyncResult:
    selection = project.selection(cloud.config)
    return sync.push_to(find_host(cloud), selection, WORK, report=report, delete=delete)


def push_watching(cloud: Cloud, *, delete: bool, report: Reporter) -> None:
    """Push, and again after every change, until interrupted."""
    source = project.required_folder(cloud.config)
    sync.watch(
        find_host(cloud),
        source,
        WORK,
        exclude=project.excluded(cloud.config),
        report=report,
        delete=delete,
    )


def pull(cloud: Cloud, path: str, to: Path | None, report: Reporter) -> tuple[SyncResult, Path]:
    """path: below ~/work on the box. Returns where it is now, too. Raises InputError for a path with `..`."""
    if ".." in PurePosixPath(path).parts:
        raise InputError("`pull` takes a path below ~/work, without `..`", where=path)
    config = cloud.config
    base = config.path.parent if config.path else Path.cwd()
    target = to or base / (config.sync.results if path == "results" else Path(path).name)
    with connect(find_host(cloud)) as connection:
        return sync.pull(connection, f"{WORK}/{path}", target, exclude=(), report=report), target


def start(cloud: Cloud, command: Sequence[str], *, name: str | None = None) -> JobStarted:
    host = find_host(cloud)
    line = command[0] if len(command) == 1 else shlex.join(command)
    job = name or job_name(command)
    with connect(host) as connection:
        jobs.start(connection, job, line, cwd=WORK)
    return JobStarted(host=host, job=job)


def job_name(command: Sequence[str]) -> str:
    """`python train.py --lr 1` is `train`: the script if there is one, else the program."""
    # One word is a command line of the machine's shell; its first words tell, whatever its quotes do later.
    said = command if len(command) > 1 else command[0].split()
    words = [w for w in said if not w.startswith("-") and "=" not in w]
    script = next((w for w in words if w.endswith((".py", ".sh"))), words[0] if words else "job")
    return re.sub(r"[^A-Za-z0-9_.-]", "-", Path(script).stem) or "job"


def find(cloud: Cloud, name: str | None) -> JobStarted:
    host = find_host(cloud)
    with connect(host) as connection:
        known = jobs.list_jobs(connection)
    if not known:
        raise MachineError("no job has run on this box yet", remedy="`gpu-box run -- CMD` starts one.")
    names = [job.name for job in known]
    if name is not None and name not in names:
        raise InputError(f"no job {name!r} on this box", remedy=f"There are: {', '.join(names)}.")
    return JobStarted(host=host, job=name or max(known, key=lambda job: job.started).name)


def follow(job: JobStarted, on_line: Callable[[str], None]) -> int:
    """The log to `on_line` until the job ends; its exit status. Survives a dropped connection."""
    return jobs.follow(job.host, job.job, on_line)


def train(cloud: Cloud, data: str, settings: Mapping[str, object]) -> JobStarted:
    """VGG16 on the box, as the job `train`; with several GPUs, one process each.

    settings: options of `python -m vgg16 train`; those that are None are left out.
    """
    observed = where(cloud)
    host = host_of(cloud.config, observed)
    priced = with_price([cloud], [observed], settings)
    with connect(host) as connection:
        line = f"{prepared(data)}{ONE_A_GPU}python $ranks {training(data, priced)}"
        jobs.start(connection, TRAIN_JOB, line, cwd=WORK)
    return JobStarted(host=host, job=TRAIN_JOB)


def with_price(
    clouds: Sequence[Cloud], observed: Sequence[Observed], settings: Mapping[str, object]
) -> dict[str, object]:
    """settings, and what all these boxes together cost an hour, for the dollars in the progress line."""
    hours = [
        spent.hourly(cloud, found.instance)
        for cloud, found in zip(clouds, observed, strict=True)
        if found.instance is not None
    ]
    known = [hour for hour in hours if hour is not None]
    return {**settings, "dollars-per-hour": sum(known) if len(known) == len(hours) else None}


def training(data: str, settings: Mapping[str, object]) -> str:
    """`-m vgg16 train ...`, for the machine's shell."""
    options = [f"--{key}={value}" for key, value in settings.items() if value is not None]
    places = f"--data {quote(_folder(data))} --results {quote(f'{WORK}/results')}"
    return f"-m vgg16 train {places} {shlex.join(options)}"


def prepared(data: str) -> str:
    """What comes before it: the built-in set of faces is made on the box."""
    return f"python -m vgg16 data faces --to {quote(_folder(data))} || exit; " if data == "faces" else ""


def _folder(data: str) -> str:
    return f"{WORK}/data/{data}" if "/" not in data else data


def _jupyter_access(connection: Connection) -> tuple[int, str, str]:
    """Port, token and page, read over the verified connection; never through a command's words."""
    result = connection.run(
        "cat ~/.gpu-box/jupyter/port ~/.gpu-box/jupyter/token && "
        f"{{ [ ! -f {quote(f'{WORK}/{_LESSON}')} ] || echo lesson; }}",
        check=False,
    )
    words = result.stdout.split()
    if result.exit_status or len(words) < 2 or not re.fullmatch("[0-9]{1,5}", words[0]):
        raise MachineError("JupyterLab is not set up on this box yet", remedy="`gpu-box up` finishes it.")
    return int(words[0]), words[1], f"lab/tree/{_LESSON}" if len(words) > 2 else "lab"


Then = Literal["stop", "down"]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """exit_status: the job's. then: what was really done. spared: why it was not taken down, or ""."""

    job: str
    exit_status: int
    results: Path | None
    then: Then
    spared: str


def finish(cloud: Cloud, job: JobStarted, exit_status: int, then: Then, report: Reporter) -> Ended:
    """Raises GpuBoxError where the box cannot be stopped."""
    results, missing = None, ""
    try:
        results = pull(cloud, "results", None, report)[1]
    except GpuBoxError as error:
        missing = f"its results did not come: {error.what}"
        report.note(missing)
    spared = missing or (f"it ended with exit status {exit_status}" if exit_status else "")
    spared = spared if then == "down" else ""
    if then == "stop" or spared:
        stop.stop(cloud, report)
    else:
        stop.down(cloud, report)
    return Ended(
        job=job.job,
        exit_status=exit_status,
        results=results,
        then="stop" if spared else then,
        spared=spared,
    )
