"""Shared by all commands: global options, config, a reporter, and printing the result."""

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
from gpu_box.view import hints, progress
from gpu_box.view.console import fitted, print_result, replace_unencodable
from gpu_box.view.progress import make_reporter

if TYPE_CHECKING:
    import typer
    from rich.console import RenderableType

    from gpu_box.aws.client import Cloud
    from gpu_box.config.model import Config
    from gpu_box.model.progress import Reporter

_WORTH_S = 2.0  # a shorter run did nothing and predicts nothing


@dataclass(frozen=True, kw_only=True)
class Options:
    config: Path | None
    name: str | None
    local: bool
    json: bool
    yes: bool
    debug: bool

    def load(self) -> Config:
        """The config. With --local, also make the embedded cloud the AWS of this process."""
        from gpu_box.config.model import Aws
        from gpu_box.config.read import load

        config = load(self.config, name=self.name)
        if self.local:
            self.waiting("starting the embedded cloud")
            enter_embedded_cloud()
            # A profile of a real account means nothing there.
            config = replace(config, aws=Aws(tags=config.aws.tags), profile=None)
        self.waiting("asking the embedded cloud" if self.local else "asking AWS")
        return config

    def cloud(self, config: Config | None = None) -> Cloud:
        """The command's Cloud. Call it once per command, so that one session serves all requests.

        config: if it is loaded already.
        """
        from gpu_box.aws.early import Connections
        from gpu_box.cli.main import split_global_options

        config = config or self.load()
        command = split_global_options(sys.argv[1:])[1][:1]
        connections = Connections("".join(command), config.profile, config.region)
        connections.open()
        from gpu_box.aws.client import Cloud  # takes its time, in which the connections are opened

        return Cloud(config, ask_code=ask_code, connections=connections)

    def waiting(self, line: str) -> None:
        """Show a status line on a terminal if nothing else appears for half a second."""
        if not self.json:
            progress.show_status(line)

    def reporter(self) -> Reporter:
        return make_reporter(silent=self.json)

    @contextmanager
    def timed(self, command: str) -> Iterator[Reporter]:
        """A reporter that also estimates the time left, from earlier runs that succeeded."""
        from gpu_box.store import timings

        path = data_home() / "timings" / f"{command}{'.local' if self.local else ''}.json"
        began = time.monotonic()
        estimate = timings.Estimate(timings.read(path), began)
        yield make_reporter(silent=self.json, estimate=estimate)
        now = time.monotonic()
        if now - began > _WORTH_S:
            timings.remember(path, estimate.run(now))

    @property
    def can_ask(self) -> bool:
        """Whether there is a terminal to ask on and no --yes."""
        return not self.yes and sys.stdin.isatty()

    def confirm(self, question: str) -> None:
        """Ask on standard error; return on yes or --yes.

        Raises typer.Exit(1) on no, Unanswered on Ctrl-C or Ctrl-D, InputError if there is no terminal.
        """
        if self.yes:
            return
        if not self.can_ask:
            raise InputError(
                f"cannot ask, because there is no terminal: {question}", remedy="Pass --yes to agree."
            )
        if not self.agrees(question):
            import typer

            raise typer.Exit(1)

    def agrees(self, question: str) -> bool:
        """Whether the user agrees. Call it only if `can_ask`. Raises Unanswered on Ctrl-C or Ctrl-D."""
        import typer

        progress.clear_status()
        # On standard error: standard output may be a pipe.
        try:
            return typer.confirm(fitted(question, sys.stderr), default=False, err=True)
        except typer.Abort:
            raise Unanswered from None

    def refuse_json(self, option: str) -> None:
        """Raise InputError if --json is given: the option shows changes and has no result."""
        if self.json:
            raise InputError(
                f"{option} goes on until Ctrl-C and has no JSON", remedy=f"Leave out --json or {option}."
            )

    def show(self, result: Any, draw: Callable[[], Any], *, stays: bool = False) -> None:
        """Print the result as JSON, or what `draw` makes of it.

        stays: the command goes on, so its JSON is a line that a script can read meanwhile.
        """
        progress.clear_status()
        if self.json:
            from gpu_box.view import json

            json.write(result, line=stays)
        else:
            show(draw())


def ask_code(question: str) -> str | None:
    """The code of an MFA device, asked for on the terminal; None without one."""
    import warnings
    from getpass import GetPassWarning, getpass

    progress.clear_status()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", GetPassWarning)
            return getpass(question).strip()
    except (GetPassWarning, EOFError):
        return None


def show(drawn: RenderableType) -> None:
    """Print for a person, on standard output."""
    progress.clear_status()
    if isinstance(drawn, str):
        replace_unencodable(sys.stdout)
        print(fitted(hints.complete(drawn), sys.stdout), flush=True)
    else:
        print_result(drawn)


def options(context: typer.Context) -> Options:
    assert isinstance(context.obj, Options)
    return context.obj


def enter_embedded_cloud() -> None:
    """Make the embedded cloud the AWS of this process, for every client in it."""
    from gpu_box.cli import local_cloud

    exports = local_cloud.start()
    for name in foreign_aws_variables(exports):
        os.environ.pop(name, None)
    os.environ.update(exports)
    # The user's own files need not even be readable (a section twice, an unknown defaults_mode).
    os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))


def foreign_aws_variables(exports: Mapping[str, str]) -> set[str]:
    """Names of AWS variables to unset. A profile, a session token or an endpoint of one service would take
    precedence over the exports, and a bad value of any of them would break the SDK.
    """
    usual = {"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"}
    return usual | {name for name in os.environ if name.startswith("AWS_")} - exports.keys()
