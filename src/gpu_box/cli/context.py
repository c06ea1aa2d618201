"""What every command starts from: the options, the config, where progress goes, and printing a result."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_box.errors import InputError, Unanswered
from gpu_box.store.files import data_home

if TYPE_CHECKING:
    import typer
    from rich.console import RenderableType

    from gpu_box.aws.client import Cloud
    from gpu_box.config.model import Config
    from gpu_box.model.progress import Reporter

_WORTH_S = 2.0  # a run that had nothing to do tells nothing of the next one


@dataclass(frozen=True, kw_only=True)
class Options:
    config: Path | None
    name: str | None
    local: bool
    json: bool
    yes: bool
    debug: bool

    def load(self) -> Config:
        """The config; and with --local, the embedded cloud as the AWS that this process talks to."""
        from gpu_box.config.read import load

        config = load(self.config, name=self.name)
        if self.local:
            self.waiting("starting the embedded cloud")
            enter_embedded_cloud()
            # A profile of a real account has no meaning there.
            config = replace(config, profile=None)
        self.waiting("asking the embedded cloud" if self.local else "asking AWS")
        return config

    def cloud(self) -> Cloud:
        """AWS for this command's box. Made once a command: whatever it does shares the session."""
        from gpu_box.aws.client import Cloud

        return Cloud(self.load())

    def waiting(self, line: str) -> None:
        """Said on a terminal if nothing else is shown for half a second."""
        from gpu_box.view import progress

        if not self.json:
            progress.begin(line)

    def reporter(self) -> Reporter:
        from gpu_box.view.progress import make_reporter

        return make_reporter(silent=self.json)

    @contextmanager
    def timed(self, command: str) -> Iterator[Reporter]:
        """A reporter that tells how long the rest takes, too, by earlier runs that ended well."""
        from gpu_box.store import timings
        from gpu_box.view.progress import make_reporter

        path = data_home() / "pace" / f"{command}{'.local' if self.local else ''}.json"
        began = time.monotonic()
        run = timings.Pace(timings.read(path), began)
        yield make_reporter(silent=self.json, pace=run)
        now = time.monotonic()
        if now - began > _WORTH_S:
            timings.remember(path, run.run(now))

    @property
    def can_ask(self) -> bool:
        """Whether a person is there to answer a question, and wants to be asked."""
        return not self.yes and sys.stdin.isatty()

    def confirm(self, question: str) -> None:
        """Ask on standard error. Raises typer.Exit(1) on no, Unanswered on Ctrl-C or Ctrl-D.

        Raises InputError without a terminal to ask on, unless `--yes` is passed.
        """
        if self.yes:
            return
        if not self.can_ask:
            raise InputError(f"{question} cannot be asked: there is no terminal", remedy="Pass --yes.")
        if not self.agrees(question):
            import typer

            raise typer.Exit(1)

    def agrees(self, question: str) -> bool:
        """Ask as `confirm` does, where a no is an answer, too. Only if `can_ask`. Raises Unanswered."""
        import typer

        from gpu_box.view import progress
        from gpu_box.view.console import fitted

        progress.over()
        # Standard output may be a pipe, which would swallow the question.
        try:
            return typer.confirm(fitted(question, sys.stderr), default=False, err=True)
        except typer.Abort:
            raise Unanswered from None

    def show(self, result: Any, draw: Callable[[], Any]) -> None:
        """The result as JSON, or drawn for a person."""
        from gpu_box.view import progress

        progress.over()
        if self.json:
            from gpu_box.view.json import dumps

            print(dumps(result))
        else:
            show(draw())


def show(drawn: RenderableType) -> None:
    """For a person, on standard output."""
    from gpu_box.view import progress

    progress.over()
    if isinstance(drawn, str):
        from gpu_box.view.console import fitted, never_refuse

        never_refuse(sys.stdout)
        print(fitted(drawn, sys.stdout), flush=True)
    else:
        from gpu_box.view.console import print_result

        print_result(drawn)


def options(context: typer.Context) -> Options:
    assert isinstance(context.obj, Options)
    return context.obj


def enter_embedded_cloud() -> None:
    """From here on every AWS client of this process, ours or not, talks to the embedded cloud."""
    from gpu_box.cli import local_cloud

    exports = local_cloud.start()
    for name in foreign_aws_variables(exports):
        os.environ.pop(name, None)
    os.environ.update(exports)


def foreign_aws_variables(exports: Mapping[str, str]) -> set[str]:
    """Names that are set for AWS, or usually are. A profile, a session token or an endpoint of one service
    would win over the exports; a wrong value of any ends the SDK.
    """
    usual = {"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"}
    return usual | {name for name in os.environ if name.startswith("AWS_")} - exports.keys()
