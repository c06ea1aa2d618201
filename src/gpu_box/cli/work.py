"""Work on the box: sync, pull, run, logs, train."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_box.cli.context import Options, options
from gpu_box.errors import InputError

if TYPE_CHECKING:
    from gpu_box.aws.client import Cloud
    from gpu_box.config.model import Config
    from gpu_box.model.results import JobStarted


class Then(StrEnum):
    STOP = "stop"
    DOWN = "down"


_THEN = typer.Option("--then", help="When it ends: pull results, then stop or down. Waits for the end here.")
_FOLLOW = typer.Option("--follow/--detach", help="Follow the log; Ctrl-C leaves the job running.")


def register(app: typer.Typer) -> None:
    passing = {"allow_interspersed_args": False}
    panel = "Work"
    app.command("sync", rich_help_panel=panel)(sync_command)
    app.command("pull", rich_help_panel=panel)(pull_command)
    app.command("run", rich_help_panel=panel, context_settings=passing)(run_command)
    app.command("logs", rich_help_panel=panel)(logs_command)
    app.command("train", rich_help_panel=panel)(train_command)


def sync_command(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, whenever a file changes.")] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Also remove on the box what is gone here.")
    ] = False,
) -> None:
    """Your project, up to ~/work on the box: only what changed, without what .gitignore names."""
    from gpu_box.box import work
    from gpu_box.box.members import each_member, members_of, only_member
    from gpu_box.cli.results import one_or_all

    opts = options(context)
    cloud = opts.cloud()
    members = members_of(cloud)
    if watch:
        work.push_watching(only_member(cloud, "--watch"), delete=delete, report=opts.reporter())
        return
    results = each_member(
        members, lambda member, its: work.push(member, delete=delete, report=its), opts.reporter()
    )
    opts.show(
        one_or_all(results),
        lambda: "The box has your project as it is here, in ~/work.",
    )


def pull_command(
    context: typer.Context,
    path: Annotated[str, typer.Argument(help="File or folder under ~/work on the box.")] = "results",
    to: Annotated[Path | None, typer.Argument(help="Where to, here.", show_default="sync.results")] = None,
) -> None:
    """Results, down from the box: only what changed."""
    from gpu_box.box import work

    opts = options(context)
    result, target = work.pull(opts.cloud(), path, to, opts.reporter())
    opts.show(result, lambda: f"What the box has in ~/work/{path} is in {target}.")


def run_command(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(help="The command, after `--`.")],
    name: Annotated[
        str | None, typer.Option("--job", help="The job's name.", show_default="the command's")
    ] = None,
    follow: Annotated[bool, _FOLLOW] = True,
    then: Annotated[Then | None, _THEN] = None,
) -> None:
    """A job on the box that outlives this laptop: `gpu-box run -- python train.py`."""
    from gpu_box.box import work

    opts = options(context)
    cloud = opts.cloud()
    _agree(opts, cloud.config, follow, then)
    job = work.start(cloud, command, name=name)
    _follow(opts, cloud, job, follow, then)


def logs_command(
    context: typer.Context,
    job: Annotated[str | None, typer.Argument(help="Which job.", show_default="the latest")] = None,
    follow: Annotated[bool, _FOLLOW] = True,
) -> None:
    """A job's log, from its beginning, and on as it grows."""
    from gpu_box.box import work

    opts = options(context)
    cloud = opts.cloud()
    _follow(opts, cloud, work.find(cloud, job), follow)


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
) -> None:
    """Fine-tune VGG16 on the box, with a progress bar here: the built-in job."""
    from gpu_box.box import cluster

    opts = options(context)
    cloud = opts.cloud()
    _agree(opts, cloud.config, follow, then)
    settings = {
        "epochs": epochs,
        "batch-size": batch_size,
        "image-size": image_size,
        "weights": weights,
        "preset": preset,
    }
    job = cluster.train(cloud, data, settings)
    _follow(opts, cloud, job, follow, then)


def _agree(opts: Options, config: Config, follow: bool, then: Then | None) -> None:
    """Asked before the job begins: nobody is there when it ends."""
    if then is not None and not follow:
        raise InputError(
            "--then waits here for the job's end, and --detach does not wait",
            remedy="Leave one of them out; a box that nothing uses stops itself.",
        )
    if then is Then.DOWN:
        opts.confirm(f"Remove {config.name} with its disk when the job has ended and its results are here?")


def _follow(opts: Options, cloud: Cloud, job: JobStarted, follow: bool, then: Then | None = None) -> None:
    """The job's log to standard output; its exit status is ours. Ctrl-C leaves it running."""
    from gpu_box.box import watch, work
    from gpu_box.view import progress
    from gpu_box.view.training import JobLog

    if not follow or (opts.json and then is None):
        opts.show(
            job,
            lambda: f"Job {job.job} runs on the box; `gpu-box logs {job.job}` follows it.",
        )
        return
    progress.over()
    try:
        with watch.beside(cloud, opts.reporter(), but=job.job):
            if opts.json:
                status = work.follow(job, lambda line: None)
            else:
                with JobLog() as log:
                    status = work.follow(job, log.take)
    except KeyboardInterrupt:
        print(f"\nJob {job.job} runs on; `gpu-box logs {job.job}` follows it again.", file=sys.stderr)
        if then:
            print(f"Nobody is left to {then} the box: it stops when idle.", file=sys.stderr)
        raise
    if status:
        print(f"job {job.job} ended with exit status {status}", file=sys.stderr)
    _tell(cloud.config, job, status)
    if then:
        _end(opts, cloud, job, status, then)
    if status:
        raise typer.Exit(status)


def _tell(config: Config, job: JobStarted, status: int) -> None:
    from gpu_box.box.notify import tell

    problem = tell(
        config.notify, "job", f"{config.name}: job ended", f"{job.job} ended with exit status {status}"
    )
    if problem:
        print(f"gpu-box: {problem}", file=sys.stderr)


def _end(opts: Options, cloud: Cloud, job: JobStarted, status: int, then: Then) -> None:
    from gpu_box.box import work

    name = cloud.config.name
    ended = work.finish(cloud, job, status, then.value, opts.reporter())

    def draw() -> str:
        came = f"results in {ended.results}; " if ended.results else ""
        if ended.spared:
            return f"{came}{name} is stopped, not taken down, its disk is kept: {ended.spared}"
        return came + f"{name} is {'stopped' if ended.then == 'stop' else 'gone, with its disk'}."

    opts.show(ended, draw)
