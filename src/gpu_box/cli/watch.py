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
    """Returns what AWS says once the box runs no more."""
    if not sys.stdout.isatty():
        raise InputError(
            "--watch needs a terminal", remedy="`gpu-box status --json` tells a script the same, once."
        )
    from rich.live import Live

    from gpu_box.box import notify
    from gpu_box.box.watch import watch
    from gpu_box.view import console, progress
    from gpu_box.view.panel import Panel

    progress.over()
    complaints: list[str] = []
    with Live(console=console.output(), refresh_per_second=2, transient=True) as live:
        try:
            return watch(
                cloud,
                lambda found, look, trouble: live.update(
                    Panel(view=found, look=look, trouble=trouble or "; ".join(complaints))
                ),
                notify.Herald(cloud.config, complaints.append),
            )
        except KeyboardInterrupt:  # the way to end it, and no interruption of anything
            raise typer.Exit from None
