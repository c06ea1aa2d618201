"""Work on a running box: attach, sync, run, train. Nothing here starts a box."""

from __future__ import annotations

import re
import shlex
import threading
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Literal

from gpu_box.aws.client import Cloud
from gpu_box.box import notebook, project, spent, stop
from gpu_box.box.find import find_host, host_of, host_or_state, locate
from gpu_box.box.project import WORK
from gpu_box.config.model import Config
from gpu_box.errors import GpuBoxError, InputError, MachineError
from gpu_box.machine import jobs
from gpu_box.machine.files import sync, variables
from gpu_box.machine.files.selection import exclusion
from gpu_box.machine.jupyter_login import OneTimeLink
from gpu_box.machine.ssh import attach
from gpu_box.machine.ssh.connection import Connection, connect
from gpu_box.machine.ssh.shell import quote
from gpu_box.machine.ssh.tunnel import Tunnel
from gpu_box.model.job import Cancelled, JobState, Queue
from gpu_box.model.machine import Forward, Host, SyncResult
from gpu_box.model.observed import Observed
from gpu_box.model.progress import Reporter
from gpu_box.model.results import JobLogged, JobStarted, JupyterOpened
from gpu_box.store import job_names

# Asks the user. Takes the state of each box, and what refuses a job that cannot start.
Agree = Callable[[Sequence[Observed], Callable[[], object]], None]

TRAIN_JOB = "train"
_LONGEST_JOB_NAME = 64  # as remote/jobs/job.py accepts
_PULL_EVERY_S = 15.0
_LESSON = "notebooks/lesson1.ipynb"  # relative to ~/work, JupyterLab's root
RESTARTS = 3  # of all ranks, if one of them dies
# Shell code that chooses the box's own environment, whatever the project's is.
OWN_PYTHON = 'export VIRTUAL_ENV="$HOME/.gpu-box/venv"; PATH="$VIRTUAL_ENV/bin:$PATH"; '
# Shell code that sets `ranks` to Python's arguments on a machine with several GPUs.
ONE_A_GPU = (
    "gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU'); ranks=; "
    '[ -z "$CUDA_VISIBLE_DEVICES" ] || { IFS=,; set -- $CUDA_VISIBLE_DEVICES; unset IFS; gpus=$#; }; '
    '[ "$gpus" -le 1 ] || ranks="-m vgg16.launch --standalone --local-addr=127.0.0.1 --nproc-per-node=$gpus '
    f'--max-restarts={RESTARTS}"; '
)


def ssh_command(cloud: Cloud, command: Sequence[str], *, tty: bool) -> list[str]:
    """The verified command line of the system's ssh, to replace this process. No command: a shell."""
    if command:
        require_command(command, where="ssh")
    return attach.ssh_command(
        _ready_host(cloud), command, tty=tty, forward_agent=cloud.config.ssh.forward_agent
    )


def ssh(cloud: Cloud, command: Sequence[str]) -> int:
    """Run a command on our own streams and pass signals on; returns its exit status."""
    require_command(command, where="ssh")
    return attach.run(_ready_host(cloud), command)


def _ready_host(cloud: Cloud) -> Host:
    """The running box, with the current values of `env` for its shells."""
    host = find_host(cloud, entering=False)
    if cloud.config.env or cloud.config.env_file:
        with connect(host) as connection:
            push_variables(connection, cloud.config)
    return host


def push_variables(connection: Connection, config: Config, env: variables.Variables | None = None) -> None:
    """Copy the values of `env` and `env_file`. If a value is missing, the box keeps its old values.

    env: the values, if they are read already.
    """
    if wanted := variables.content(config, env):
        variables.push(connection, wanted)


@contextmanager
def jupyter(cloud: Cloud, report: Reporter) -> Iterator[tuple[Tunnel, str, str]]:
    """A tunnel to JupyterLab and the config's `ports`, its first page (the lesson, if there), its token."""
    host = find_host(cloud)
    with connect(host) as connection:
        port, token, page = _jupyter_access(connection)
        with Tunnel(
            host,
            [Forward(local=cloud.config.jupyter.port, remote=port), *cloud.config.ports],
            report=report,
            find=partial(host_or_state, cloud),
            port_of=lambda connection: _jupyter_access(connection)[0],  # it may change at a start
            connection=connection,
        ) as link:
            yield link, page, token


def jupyter_opened(link: Tunnel, page: str, token: str) -> JupyterOpened:
    """token: for the address, which is shown; or empty."""
    secret = f"?token={token}" if token else ""
    address = f"http://127.0.0.1:{link.local_port}/{page}{secret}"
    return JupyterOpened(address=address, ports=link.forwarded[1:])


def one_time_link(link: Tunnel, page: str, token: str) -> OneTimeLink:
    """Within the `with` block, a one-time address that logs a local browser in to that page."""
    return OneTimeLink(port=link.local_port, page=page, token=token)


def push(cloud: Cloud, *, delete: bool, report: Reporter) -> SyncResult:
    selection = project.selection(cloud.config)
    return sync.push_to(find_host(cloud), selection, WORK, report=report, delete=delete)


def gone(cloud: Cloud) -> list[str]:
    """The files that `push` with `delete` would remove from the box."""
    selection = project.selection(cloud.config)
    with connect(find_host(cloud)) as connection:
        return sync.gone(connection, selection, WORK)


def push_watching(cloud: Cloud, *, delete: bool, report: Reporter) -> None:
    """Push now and after every change, until interrupted."""
    source = project.required_folder(cloud.config)
    sync.watch(
        find_host(cloud), source, WORK, exclude=project.excluded(cloud.config), report=report, delete=delete
    )


def pull(cloud: Cloud, path: str, to: Path | None, report: Reporter) -> tuple[SyncResult, Path]:
    """path: below ~/work on the box. Also returns the target. Raises InputError for a path with `..`."""
    if not path:
        raise InputError("the path is empty", where="pull", remedy="`gpu-box pull .` copies all of ~/work.")
    if path.startswith(("/", "~/")) or path == "~" or ".." in PurePosixPath(path).parts:
        raise InputError(
            "the path must be below ~/work, without `..`",
            where=path,
            remedy="Name it as seen from there: `gpu-box pull results`.",
        )
    config = cloud.config
    if path == "results" and to is None:
        project.require_results_folder(config)
    base = config.path.parent if config.path else Path.cwd()
    target = to or base / (config.sync.results if path == "results" else Path(path).name)
    with connect(find_host(cloud)) as connection:
        patterns = _asked(connection) if path == "results" and to is None else []
        matching = pull_matching(connection, config, patterns, report) if patterns else None
        try:
            result = sync.pull(connection, f"{WORK}/{path}", target, exclude=(), report=report)
        except InputError:
            if matching is None:
                raise
            return matching, base  # no results, but files of `run --pull`
    return (matching + result if matching else result), target


def _asked(connection: Connection) -> list[str]:
    """The patterns of all jobs on the box. A failure is left to the pull of the results."""
    with suppress(GpuBoxError):
        return sorted({pattern for job in jobs.list_jobs(connection) for pattern in job.pull})
    return []


def pull_matching(
    connection: Connection, config: Config, patterns: Sequence[str], report: Reporter, *, ended: bool = True
) -> SyncResult:
    """Copy the files below ~/work that match one of the patterns to the same place beside config.yaml."""
    base = config.path.parent if config.path else Path.cwd()
    exclude = project.excluded(config)
    return sync.pull(connection, WORK, base, exclude=exclude, report=report, patterns=patterns, ended=ended)


def checked_patterns(patterns: Sequence[str]) -> tuple[str, ...]:
    """The patterns of `run --pull`, relative to ~/work. Raises InputError."""
    found = []
    for pattern in patterns:
        plain = pattern.removeprefix(f"{WORK}/").removeprefix("./")
        leads_out = plain.startswith(("/", "~")) or ".." in plain.split("/")
        wrong = "it matches everything" if not plain.strip("/*") else ""
        wrong = "it leads out of ~/work" if leads_out else wrong
        wrong = wrong if plain.isprintable() else "it has control characters"
        if not wrong:
            exclusion([plain], where="--pull")
        if wrong:
            raise InputError(
                f"{wrong}: {pattern!r}", where="--pull", remedy="Name files below ~/work, as in 'ckpt/*.pt'."
            )
        found.append(plain)
    return tuple(found)


@contextmanager
def pulling(cloud: Cloud, job: JobStarted, silent: Reporter, report: Reporter) -> Iterator[None]:
    """Copy the files that match the job's patterns while the block runs, and at its end, if it succeeds.

    silent: for the copies meanwhile, beside which the job's log is shown.
    """
    if not job.pull:
        yield
        return
    over = threading.Event()

    # Not the first connection's: another thread reads the job's log.
    def work() -> None:
        while not over.wait(_PULL_EVERY_S):
            with suppress(GpuBoxError, OSError), connect(job.host) as connection:
                pull_matching(connection, cloud.config, job.pull, silent, ended=False)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
    thread.join()
    try:
        with connect(job.host) as connection:
            pull_matching(connection, cloud.config, job.pull, report)
    except GpuBoxError as error:
        report.note(f"the files of --pull could not be copied: {error.what}; `gpu-box pull` copies them")


def start(
    cloud: Cloud,
    command: Sequence[str],
    *,
    name: str | None = None,
    queue: Queue | None = None,
    then_stop: bool = False,
    pull: Sequence[str] = (),
    parameters: Sequence[str] = (),
    agree: Agree = lambda *_: None,
) -> JobStarted:
    """Start a job, or put it into the queue. The other keywords are those of `jobs.start`.

    parameters: NAME=VALUE for a notebook. Raises InputError for those, and for an env_file that cannot be
    read, before anything starts. agree: called after these checks.
    """
    require_command(command, where="run")
    env = variables.read(cloud.config)
    executed = notebook.requested(cloud.config, command, parameters)
    observed = locate(cloud)
    host = host_of(cloud.config, observed)
    line = command[0] if len(command) == 1 else shlex.join(command)
    job = name if name is not None else job_name([str(executed.path), ""] if executed else command)
    with connect(host) as connection:
        if executed:
            executed.check(connection)
            line = executed.line
        begin = partial(
            jobs.start, connection, job, line, cwd=WORK, queue=queue, then_stop=then_stop, pull=pull
        )
        agree([observed], partial(begin, check=True))
        push_variables(connection, cloud.config, env)
        job, behind = begin()
    job_names.remember(host.name, [*job_names.names(host.name), job])
    return JobStarted(host=host, job=job, behind=behind, pull=tuple(pull))


def require_command(command: Sequence[str], *, where: str) -> None:
    """Raise InputError for a command line that would run nothing and succeed, or that no shell takes."""
    if not command or not command[0].strip():
        raise InputError("the command is empty", where=where, remedy="Is a variable unset?")
    if any("\0" in word for word in command):
        raise InputError("the command has a NUL character in it, which no shell takes", where=where)


def job_name(command: Sequence[str]) -> str:
    """`python train.py --lr 1` is `train`: the script if there is one, else the program."""
    # A single word is a shell command line; its first words name the program.
    said = command if len(command) > 1 else command[0].split()
    words = [w for w in said if not w.startswith("-") and "=" not in w]
    script = next((w for w in words if w.endswith((".py", ".sh", ".ipynb"))), words[0] if words else "job")
    return _in_ascii(Path(script).stem)


def _in_ascii(stem: str) -> str:
    """Accents are dropped. A hash stands for other letters and for the end of a long name."""
    letters = unicodedata.normalize("NFKD", stem)
    plain = re.sub(r"[^A-Za-z0-9_.]+", "-", letters.encode("ascii", "ignore").decode()).strip("-._")
    marks = "MPZ"  # Unicode's categories of accents, punctuation and blanks
    lost = any(not one.isascii() and unicodedata.category(one)[0] not in marks for one in letters)
    if not lost and len(plain) <= _LONGEST_JOB_NAME:
        return plain or "job"
    digest = "-" + sha256(letters.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return (plain[: _LONGEST_JOB_NAME - len(digest)].strip("-._") or "job") + digest


def find(cloud: Cloud, name: str | None) -> JobStarted:
    host = find_host(cloud)
    known = _jobs_of(host)
    if not known:
        raise MachineError("no job has run on this box yet", remedy="`gpu-box run -- CMD` starts one.")
    names = [job.name for job in known]
    if name is not None and name not in names:
        raise InputError(f"no job {name!r} on this box", remedy=f"Jobs: {', '.join(names)}.")
    job = next((job for job in known if job.name == name), None) or max(known, key=_begun)
    return JobStarted(host=host, job=job.name, pull=job.pull)


def _begun(job: JobState) -> datetime:
    return job.started or datetime.min.replace(tzinfo=UTC)


def list_jobs(cloud: Cloud) -> list[JobState]:
    """Every job of the running box, the oldest first; those that wait last."""
    return _jobs_of(find_host(cloud), gpus=True)


def _jobs_of(host: Host, *, gpus: bool = False) -> list[JobState]:
    with connect(host) as connection:
        found = jobs.list_jobs(connection, gpus=gpus)
    job_names.remember(host.name, [job.name for job in found])
    return found


def cancel(cloud: Cloud, name: str, report: Reporter) -> Cancelled:
    """Raises InputError if there is no such job."""
    host = find_host(cloud)
    report.start("cancel", f"ending job {name}")
    with connect(host) as connection:
        done = jobs.cancel(connection, name)
    report.done("cancel", f"job {name} has ended")
    return done


def follow(job: JobStarted, on_text: Callable[[str], None]) -> int:
    """Pass the log to `on_text` until the job ends; returns its exit status. Survives a lost connection."""
    return jobs.follow(job.host, job.job, on_text)


def read_log(job: JobStarted, on_text: Callable[[str], None]) -> int | None:
    """The log as it is now to `on_text`; the exit status, None while the job runs."""
    with connect(job.host) as connection:
        return jobs.read_log(connection, job.job, on_text)


def logged(job: JobStarted, exit_status: int | None, log: str) -> JobLogged:
    return JobLogged(job=job.job, exit_status=exit_status, log=log)


def train(
    cloud: Cloud,
    data: str,
    settings: Mapping[str, object],
    *,
    queue: Queue | None = None,
    then_stop: bool = False,
    agree: Agree = lambda *_: None,
) -> JobStarted:
    """Train VGG16 on the box as the job `train`, with one process per GPU.

    queue, then_stop, agree: as for `start`; each job of the queue has a folder of its own in results.
    settings: options of `python -m vgg16 train`; None values are left out.
    """
    observed = locate(cloud)
    host = host_of(cloud.config, observed)
    priced = with_price([cloud], [observed], settings)
    own = "/$GPU_BOX_JOB" if queue else ""
    line = f"{OWN_PYTHON}{prepared(data)}{ONE_A_GPU}python $ranks {training(data, priced, own)}"
    with connect(host) as connection:
        begin = partial(jobs.start, connection, TRAIN_JOB, line, cwd=WORK, queue=queue, then_stop=then_stop)
        agree([observed], partial(begin, check=True))
        push_variables(connection, cloud.config)
        job, behind = begin()
    return JobStarted(host=host, job=job, behind=behind)


def with_price(
    clouds: Sequence[Cloud], observed: Sequence[Observed], settings: Mapping[str, object]
) -> dict[str, object]:
    """The settings, plus the boxes' total hourly price for the progress line."""
    hours = [
        spent.hourly(cloud, found.instance)
        for cloud, found in zip(clouds, observed, strict=True)
        if found.instance is not None
    ]
    known = [hour for hour in hours if hour is not None]
    return {**settings, "dollars-per-hour": sum(known) if len(known) == len(hours) else None}


def training(data: str, settings: Mapping[str, object], own: str = "") -> str:
    """`-m vgg16 train ...` for the machine's shell. own: a folder in results, shell code."""
    options = [f"--{key}={value}" for key, value in settings.items() if value is not None]
    places = f"--data {quote(_folder(data))} --results {quote(f'{WORK}/results')}{own}"
    return f"-m vgg16 train {places} {shlex.join(options)}"


def prepared(data: str) -> str:
    """The command before it, which generates the built-in faces on the box."""
    return f"python -m vgg16 data faces --to {quote(_folder(data))} || exit; " if data == "faces" else ""


def _folder(data: str) -> str:
    return f"{WORK}/data/{data}" if "/" not in data else data


def _jupyter_access(connection: Connection) -> tuple[int, str, str]:
    """Port, token and page, read over the verified connection, never from a command line."""
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
    """exit_status: the job's. then: what was done. spared: why the box was not removed, or ""."""

    job: str
    exit_status: int
    log: str  # empty if it was shown
    results: Path | None
    then: Then
    spared: str
    by_itself: bool = False  # the box stops itself when its queue is empty


def finish(
    cloud: Cloud,
    job: JobStarted,
    exit_status: int,
    then: Then,
    report: Reporter,
    *,
    by_itself: bool = False,
    log: str = "",
) -> Ended:
    """Pull results, then stop or remove the box. Raises GpuBoxError if it cannot be stopped.

    by_itself: leave the stop to the box. log: for the result.
    """
    results, missing = None, ""
    try:
        results = pull(cloud, "results", None, report)[1]
    except GpuBoxError as error:
        missing = f"its results could not be pulled: {error.what}"
        report.note(missing)
    spared = missing or (f"it ended with exit status {exit_status}" if exit_status else "")
    spared = spared if then == "down" else ""
    if by_itself:
        pass
    elif then == "stop" or spared:
        stop.stop(cloud, report, after=f"job {job.job} ended with exit status {exit_status}")
    else:
        stop.down(cloud, report)
    return Ended(
        job=job.job,
        exit_status=exit_status,
        log=log,
        results=results,
        then="stop" if spared else then,
        spared=spared,
        by_itself=by_itself,
    )
