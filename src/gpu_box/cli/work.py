"""Work on the box: sync, pull, run, logs, train."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from gpu_box.cli.completion import job_names
from gpu_box.cli.consent import before_deletion, before_upload
from gpu_box.cli.context import Options, options
from gpu_box.cli.reader import ending_with_reader
from gpu_box.cli.results import one_or_all
from gpu_box.errors import InputError, Interrupted, one_line
from gpu_box.view import progress
from gpu_box.view.progress import make_reporter

if TYPE_CHECKING:
    from gpu_box.aws.client import Cloud
    from gpu_box.box.work import Agree
    from gpu_box.config.model import Config
    from gpu_box.model.job import Queue
    from gpu_box.model.observed import Observed
    from gpu_box.model.results import JobStarted


class Then(StrEnum):
    STOP = "stop"
    DOWN = "down"


_THEN = typer.Option(
    "--then",
    help="When the job ends, pull results, then stop or remove the box. With --detach the box stops itself "
    "once no job runs or waits; `down` waits here.",
)
_QUEUE = typer.Option("--queue", help="Start when the jobs before it have ended; one job per GPU at a time.")
_GPUS = typer.Option("--gpus", min=1, metavar="N", help="With --queue: the GPUs it needs.", show_default="1")
_FOLLOW = typer.Option("--follow/--detach", help="Follow the log; Ctrl-C leaves the job running.")


class Run(TyperCommand):
    """After a program its own options follow, after a notebook those of `run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = self.make_parser(ctx).parse_args(list(args))[0].get("command")
        if "--" not in args and words and words[0].lower().endswith(".ipynb"):
            ctx.allow_interspersed_args = True
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    passing = {"allow_interspersed_args": False}
    panel = "Work"
    app.command("sync", rich_help_panel=panel)(sync_command)
    app.command("pull", rich_help_panel=panel)(pull_command)
    app.command("run", cls=Run, rich_help_panel=panel, context_settings=passing)(run_command)
    app.command("logs", rich_help_panel=panel)(logs_command)
    app.command("train", rich_help_panel=panel)(train_command)


def sync_command(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Sync again whenever a file changes.")] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Also delete on the box what was deleted here.")
    ] = False,
) -> None:
    """Sync your project to ~/work on the box: only changes, without .git and what .gitignore excludes.

    Asks before it sends 1 GB or more, another project than before, or deletes (--delete names the files).
    """
    from gpu_box.box import find, work
    from gpu_box.box.members import each_member, members_of, only_member

    opts = options(context)
    if watch:
        opts.refuse_json("--watch")
    cloud = opts.cloud()
    members = members_of(cloud)
    if watch:
        only_member(cloud, "--watch")
    before_upload(opts, cloud, find.find_host)
    if delete:
        before_deletion(opts, members)
    if watch:
        work.push_watching(only_member(cloud, "--watch"), delete=delete, report=opts.reporter())
        return
    results = each_member(
        members, lambda member, its: work.push(member, delete=delete, report=its), opts.reporter()
    )
    opts.show(one_or_all(results), lambda: _synced({path for result in results for path in result.kept}))


def _synced(kept: set[str]) -> str:
    if not kept:
        return "Your project is in ~/work on the box."
    files = "1 file" if len(kept) == 1 else f"{len(kept)} files"
    return f"Your project is in ~/work on the box, except {files} that changed there (see above)."


def pull_command(
    context: typer.Context,
    path: Annotated[str, typer.Argument(help="File or folder under ~/work on the box.")] = "results",
    to: Annotated[
        Path | None, typer.Argument(help="Local target folder.", show_default="sync.results")
    ] = None,
) -> None:
    """Copy results from the box: only what changed."""
    from gpu_box.box import work

    opts = options(context)
    result, target = work.pull(opts.cloud(), path, to, opts.reporter())
    opts.show(result, lambda: one_line(f"Copied ~/work/{path} to {target}."))


def run_command(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(help="The command, after `--`, or a notebook.")],
    parameters: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="Set a parameter of the notebook.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--job", help="The job's name.", show_default="the command's")
    ] = None,
    follow: Annotated[bool, _FOLLOW] = True,
    then: Annotated[Then | None, _THEN] = None,
    queue: Annotated[bool, _QUEUE] = False,
    gpus: Annotated[int | None, _GPUS] = None,
    pull: Annotated[
        list[str] | None,
        typer.Option(
            "--pull",
            metavar="PATTERN",
            help="Copy files that match, such as 'ckpt/*.pt': while a command here follows the job, "
            "otherwise at the next `pull`.",
        ),
    ] = None,
) -> None:
    """Start a job on the box that outlives this laptop: `gpu-box run -- python train.py`."""
    from gpu_box.box import work

    queued = _queue(queue, gpus, then, number=name is None)
    patterns = work.checked_patterns(pull or ())
    if patterns and "--" in command:
        raise InputError(
            "your shell has expanded the pattern to several files",
            where="--pull",
            remedy="Quote it: --pull 'ckpt/*.pt'.",
        )
    _refuse_down_detached(follow, then)
    opts = options(context)
    cloud = opts.cloud()
    by_itself = then is Then.STOP and (queue or not follow)
    job = work.start(
        cloud,
        command,
        name=name,
        queue=queued,
        then_stop=by_itself,
        parameters=parameters or (),
        pull=patterns,
        agree=_agreement(opts, cloud, then),
    )
    _follow(opts, cloud, job, follow, then, by_itself=by_itself)


def logs_command(
    context: typer.Context,
    job: Annotated[
        str | None, typer.Argument(help="The job.", show_default="the latest", autocompletion=job_names)
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Follow the log, or print what there is.")
    ] = True,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Pass every escape sequence of the log on to the terminal, not only colours."
        ),
    ] = False,
) -> None:
    """Show a job's log from its beginning, and follow it."""
    from gpu_box.box import work

    opts = options(context)
    cloud = opts.cloud()
    found = work.find(cloud, job)
    if follow:
        _follow(opts, cloud, found, follow, raw=raw)
    else:
        _print_log(opts, found, raw=raw)


def train_command(
    context: typer.Context,
    data: Annotated[
        str, typer.Option("--data", help="Data set: `faces`, or a folder on the box with train/ and valid/.")
    ] = "faces",
    epochs: Annotated[int | None, typer.Option("--epochs", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1)] = None,
    image_size: Annotated[int | None, typer.Option("--image-size", min=32, help="Pixels a side.")] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="imagenet, caffe, none, or a file on the box.")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="demo: small enough for a CPU.")] = None,
    follow: Annotated[bool, _FOLLOW] = True,
    then: Annotated[Then | None, _THEN] = None,
    queue: Annotated[bool, _QUEUE] = False,
    gpus: Annotated[int | None, _GPUS] = None,
) -> None:
    """Fine-tune VGG16 on the box with the built-in job, and show a progress bar here.

    Results go to results/ on the box; with --queue to a folder of the job's name in it.
    """
    from gpu_box.box import cluster

    _refuse_down_detached(follow, then)
    queued = _queue(queue, gpus, then, number=True)
    opts = options(context)
    cloud = opts.cloud()
    settings = {
        "epochs": epochs,
        "batch-size": batch_size,
        "image-size": image_size,
        "weights": weights,
        "preset": preset,
    }
    by_itself = then is Then.STOP and (queue or not follow)
    agree = _agreement(opts, cloud, then)
    job = cluster.train(cloud, data, settings, queue=queued, then_stop=by_itself, agree=agree)
    _follow(opts, cloud, job, follow, then, by_itself=by_itself)


def _queue(queue: bool, gpus: int | None, then: Then | None, *, number: bool) -> Queue | None:
    """How the job joins the queue, or None. number: as for `Queue`."""
    from gpu_box.model.job import Queue

    if gpus is not None and not queue:
        raise InputError(
            "--gpus is for jobs of the queue; without --queue a job sees all GPUs", remedy="Add --queue."
        )
    if queue and then is Then.DOWN:
        raise InputError(
            "--then down would remove the box with the jobs that wait in its queue",
            remedy="Use --then stop: the box stops itself when its queue is empty.",
        )
    return Queue(gpus=gpus or 0, number=number) if queue else None


def _refuse_down_detached(follow: bool, then: Then | None) -> None:
    if then is Then.DOWN and not follow:
        raise InputError(
            "--then down waits for the job's end, and --detach does not wait",
            remedy="Use --then stop, which the box does by itself, or leave out --detach.",
        )


def _agreement(opts: Options, cloud: Cloud, then: Then | None) -> Agree:
    """Ask about `--then down` before the job begins: the user may be away when it ends."""
    from gpu_box.box.converge import require_own
    from gpu_box.box.members import members_of

    name = cloud.config.name
    question = f"Remove {name} with its disk when the job has ended and its results are here?"
    if then is Then.DOWN and not opts.can_ask:
        opts.confirm(question)  # refused without --yes, before AWS is asked

    def agree(found: Sequence[Observed], refuse_impossible: Callable[[], object]) -> None:
        for member, observed in zip(members_of(cloud), found, strict=True):
            if then:
                require_own(member, observed)
        if then is Then.DOWN:
            refuse_impossible()
            opts.confirm(question)

    return agree


def _print_log(opts: Options, job: JobStarted, *, raw: bool) -> None:
    from gpu_box.box import work
    from gpu_box.view.training import JobLog

    progress.clear_status()
    if opts.json:
        said: list[str] = []
        status = work.read_log(job, said.append)
        _show_log(opts, job, status, said)
        return
    with JobLog(raw=raw) as log:
        work.read_log(job, log.take)


def _show_log(opts: Options, job: JobStarted, status: int | None, said: list[str]) -> None:
    """As JSON."""
    from gpu_box.box import work

    opts.show(work.logged(job, status, "".join(said)), str)


def _begun(job: JobStarted) -> str:
    if job.behind:
        return f"Job {job.job} waits in the queue behind {', '.join(job.behind)}"
    return f"Job {job.job} runs on the box"


def _follow(
    opts: Options,
    cloud: Cloud,
    job: JobStarted,
    follow: bool,
    then: Then | None = None,
    *,
    by_itself: bool = False,
    raw: bool = False,
) -> None:
    """Print the job's log and exit with its status. Ctrl-C leaves the job running.

    by_itself: the box stops itself when its queue is empty.
    """
    from gpu_box.box import watch, work
    from gpu_box.view.training import JobLog

    stops = " The box stops itself when no job runs or waits." if by_itself else ""
    if not follow:
        opts.show(job, lambda: f"{_begun(job)}; `gpu-box logs {job.job}` follows its log.{stops}")
        return
    if then and not by_itself:
        idle = f" The box will not be {'stopped' if then is Then.STOP else 'removed'}; it stops when idle."
    else:
        idle = stops or " The box stops when idle."
    if job.behind and not opts.json:
        print(f"{_begun(job)}.", file=sys.stderr)
    progress.clear_status()
    # With --then the command waits for the end, whether or not the log is read.
    leave = nullcontext() if then else ending_with_reader()
    said: list[str] = []  # for --json
    status: int | None = None
    try:
        silent = make_reporter(silent=True)
        pulled = work.pulling(cloud, job, silent, opts.reporter())
        with watch.beside(cloud, opts.reporter(), but=job.job), leave, pulled:
            if opts.json:
                status = work.follow(job, said.append)
            else:
                with JobLog(needs_reader=then is None, raw=raw) as log:
                    status = work.follow(job, log.take)
    except KeyboardInterrupt:
        if status is not None:  # it came during the last copy of --pull
            raise _ended(job, f"`gpu-box pull` copies what --pull has not.{idle}") from None
        raise Interrupted(
            f"interrupted: job {job.job} goes on",
            remedy=f"`gpu-box logs {job.job}` follows its log.{idle}",
            job=job.job,
        ) from None
    if opts.json and not then:
        _show_log(opts, job, status, said)
    elif status:
        print(f"job {job.job} ended with exit status {status}", file=sys.stderr)
    try:
        _tell(cloud.config, job, status)
        if then:
            _end(opts, cloud, job, status, then, by_itself, "".join(said))
    except KeyboardInterrupt:
        raise _ended(job, f"`gpu-box status` shows the box.{idle}") from None
    if status:
        raise typer.Exit(status)


def _ended(job: JobStarted, remedy: str) -> Interrupted:
    return Interrupted(f"interrupted: job {job.job} has ended", remedy=remedy, job=job.job)


def _tell(config: Config, job: JobStarted, status: int) -> None:
    from gpu_box.box.notify import tell

    problem = tell(
        config.notify, "job", f"{config.name}: job ended", f"{job.job} ended with exit status {status}"
    )
    if problem:
        print(f"gpu-box: {problem}", file=sys.stderr)


def _end(
    opts: Options, cloud: Cloud, job: JobStarted, status: int, then: Then, by_itself: bool, log: str
) -> None:
    from gpu_box.box import work

    name = cloud.config.name
    ended = work.finish(cloud, job, status, then.value, opts.reporter(), by_itself=by_itself, log=log)

    def draw() -> str:
        came = f"results in {ended.results}; " if ended.results else ""
        if ended.by_itself:
            return came + f"{name} stops itself when no job runs or waits."
        if ended.spared:
            return f"{came}{name} is stopped and its disk kept, not removed: {ended.spared}"
        return came + f"{name} is {'stopped' if ended.then == 'stop' else 'gone, with its disk'}."

    opts.show(ended, draw)
