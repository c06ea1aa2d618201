"""`report`: an HTML page of what the box did and what it cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpu_box.cli.context import options
from gpu_box.errors import InputError
from gpu_box.store.files import data_home


def register(app: typer.Typer) -> None:
    app.command("report", rich_help_panel="When it stops")(report_command)


def report_command(
    context: typer.Context,
    to: Annotated[Path, typer.Argument(help="The file to write.")] = Path("report.html"),
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write one HTML file: what the box did, when and why it stopped, daily cost, how training went."""
    from gpu_box.box.report import gather
    from gpu_box.model.results import ReportFile
    from gpu_box.view.report import report_html

    opts = options(context)
    cloud = opts.cloud()
    name = cloud.config.name
    found = gather(cloud, data_home() / "activity", opts.reporter())
    try:
        to.write_text(report_html(found), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(to)) from None
    opts.show(ReportFile(box=name, path=to), lambda: f"Wrote {to}.")
    if open_it:
        import webbrowser

        webbrowser.open(to.resolve().as_uri())
