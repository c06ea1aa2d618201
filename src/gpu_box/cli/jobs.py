"""The box's jobs: list and cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gpu_box.cli.completion import job_names
from gpu_box.cli.context import options

if TYPE_CHECKING:
    from gpu_box.model.job import Cancelled


def register(app: typer.Typer) -> None:
    app.command("jobs", rich_help_panel="Work")(jobs_command)
    app.command("cancel", rich_help_panel="Work")(cancel_command)


def jobs_command(context: typer.Context) -> None:
    """List the jobs of the box, the oldest first; those that wait in the queue last."""
    from gpu_box.box import work
    from gpu_box.view.jobs import jobs_table

    opts = options(context)
    found = work.list_jobs(opts.cloud())
    opts.show(found, lambda: jobs_table(found))


def cancel_command(
    context: typer.Context, job: Annotated[str, typer.Argument(help="The job.", autocompletion=job_names)]
) -> None:
    """End a job and all processes that it started: with SIGTERM, after 10 seconds with SIGKILL.

    A job that waits in the queue leaves it.
    """
    from gpu_box.box import work

    opts = options(context)
    cancelled = work.cancel(opts.cloud(), job, opts.reporter())
    opts.show(cancelled, lambda: _cancelled(cancelled))


def _cancelled(done: Cancelled) -> str:
    if done.was == "waiting":
        line = f"Job {done.job} has left the queue."
    elif done.was != "running":
        line = f"Job {done.job} had ended before, with exit status {done.exit_status}."
    else:
        line = f"Job {done.job} is cancelled; `gpu-box logs {done.job}` shows its log."
    if done.left:
        some = "1 process" if done.left == 1 else f"{done.left} processes"
        line += f" {some} of it cannot be ended: look with `gpu-box ssh`."
    return line
