"""`status --watch`: the panel on a terminal, until the box stops or Ctrl-C."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from gpu_box.errors import InputError

if TYPE_CHECKING:
    from gpu_box.aws.client import Cloud
    from gpu_box.model.results import StatusView


def watch_live(cloud: Cloud) -> StatusView:
    """Return the final status once the box no longer runs."""
    if not sys.stdout.isatty():
        raise InputError("--watch needs a terminal", remedy="Use `gpu-box status --json` in a script.")
    from rich.live import Live
    from rich.spinner import Spinner

    from gpu_box.box import notify
    from gpu_box.box.watch import watch
    from gpu_box.view import console, progress
    from gpu_box.view.panel import Panel

    if not console.redraws(sys.stdout):
        raise InputError(
            "--watch needs a terminal that can be redrawn, and TERM is dumb",
            remedy="Use `gpu-box status`, or set TERM.",
        )
    progress.clear_status()
    problems: list[str] = []
    first = Spinner("dots", f"reading the state of {cloud.config.name} in AWS and on the box")
    with Live(first, console=console.output(), refresh_per_second=2, transient=True) as live:
        try:
            return watch(
                cloud,
                lambda found, reading, trouble: live.update(
                    Panel(view=found, reading=reading, trouble=trouble or "; ".join(problems))
                ),
                notify.Notifier(cloud.config, problems.append),
            )
        except KeyboardInterrupt:  # the normal way to end it
            raise typer.Exit from None
