"""Work on the box: sync, pull, run, logs, train."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_box.cli.context import Options, options

if TYPE_CHECKING:
    from gpu_box.work import Job

_FOLLOW = typer.Option("--follow/--detach", help="Follow the log; Ctrl-C leaves the job running.")


def register(app: typer.Typer) -> None:
    passing = {"allow_interspersed_args": False}
    panel = "Work"
    app.command(rich_help_panel=panel)(sync)
    app.command(rich_help_panel=panel)(pull)
    app.command(rich_help_panel=panel, context_settings=passing)(run)
    app.command(rich_help_panel=panel)(logs)
    app.command(rich_help_panel=panel)(train)


def sync(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, whenever a file changes.")] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Also remove on the box what is gone here.")
    ] = False,
) -> None:
    """Your project, up to ~/work on the box: only what changed, without what .gitignore names."""
    from gpu_box import work

    opts = options(context)
    config = opts.load()
    if watch:
        work.push_watching(config, delete=delete, report=opts.reporter())
        return
    result = work.push(config, delete=delete, report=opts.reporter())
    opts.show(result, lambda: "The box has your project as it is here, in ~/work.")


def pull(
    context: typer.Context,
    path: Annotated[str, typer.Argument(help="File or folder under ~/work on the box.")] = "results",
    to: Annotated[Path | None, typer.Argument(help="Where to, here.", show_default="sync.results")] = None,
) -> None:
    """Results, down from the box: only what changed."""
    from gpu_box import work

    opts = options(context)
    result, target = work.pull(opts.load(), path, to, opts.reporter())
    opts.show(result, lambda: f"What the box has in ~/work/{path} is in {target}.")


def run(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(help="The command, after `--`.")],
    name: Annotated[
        str | None, typer.Option("--job", help="The job's name.", show_default="the command's")
    ] = None,
    follow: Annotated[bool, _FOLLOW] = True,
) -> None:
    """A job on the box that outlives this laptop: `gpu-box run -- python train.py`."""
    from gpu_box import work

    opts = options(context)
    config = opts.load()
    job = work.start(config, command, name=name)
    _follow(opts, job, follow)


def logs(
    context: typer.Context,
    job: Annotated[str | None, typer.Argument(help="Which job.", show_default="the latest")] = None,
    follow: Annotated[bool, _FOLLOW] = True,
) -> None:
    """A job's log, from its beginning, and on as it grows."""
    from gpu_box import work

    opts = options(context)
    _follow(opts, work.find(opts.load(), job), follow)


def train(
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
) -> None:
    """Fine-tune VGG16 on the box, with a progress bar here: the built-in job."""
    from gpu_box import work

    opts = options(context)
    settings = {
        "epochs": epochs,
        "batch-size": batch_size,
        "image-size": image_size,
        "weights": weights,
        "preset": preset,
    }
    job = work.train(opts.load(), data, settings)
    _follow(opts, job, follow)


def _follow(opts: Options, job: Job, follow: bool) -> None:
    """The job's log to standard output; its exit status is ours. Ctrl-C leaves it running."""
    from gpu_box import work
    from gpu_box.view.training import JobLog

    if not follow or opts.json:
        opts.show(
            {"job": job.name},
            lambda: f"Job {job.name} runs on the box; `gpu-box logs {job.name}` follows it.",
        )
        return
    try:
        with JobLog() as log:
            status = work.follow(job, log.take)
    except KeyboardInterrupt:
        print(f"\nJob {job.name} runs on; `gpu-box logs {job.name}` follows it again.", file=sys.stderr)
        raise
    if status:
        print(f"job {job.name} ended with exit status {status}", file=sys.stderr)
        raise typer.Exit(status)
