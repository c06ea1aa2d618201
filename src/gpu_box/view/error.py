"""Print an error: what, where, remedy."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from gpu_box.errors import ConfigError, GpuBoxError, Interrupted
from gpu_box.view import hints


@dataclass(frozen=True, kw_only=True)
class Problem:
    kind: str  # CredentialsError, QuotaError, ...: the class in gpu_box.errors
    what: str
    where: str | None
    remedy: str | None  # what to do now
    exit_code: int  # 1: AWS or the machine refused; 2: the input is wrong; 130: Ctrl-C
    problems: tuple[str, ...] = ()  # every problem of a config file
    job: str | None = None  # Ctrl-C: the job that the command followed


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The output of `--json` for a command that fails without a result; `error.exit_code` is its own."""

    error: Problem


def print_error(error: GpuBoxError, *, as_json: bool = False) -> None:
    """Print to standard error; with as_json, one object to standard output if no value is there yet."""
    if as_json:
        from gpu_box.view import json

        if not json.was_printed():
            json.write(failure(error))
            return
    from gpu_box.view.console import fitted

    text = hints.complete("\n".join(f"error: {line}" for line in str(error).splitlines()))
    print(fitted(text, sys.stderr), file=sys.stderr)


def print_interrupted(error: Interrupted, *, as_json: bool = False) -> None:
    """Print a line to standard error; with as_json also one object, unless a value is there already."""
    if as_json:
        from gpu_box.view import json

        if not json.was_printed():
            json.write(failure(error))
    print(f"\n{hints.complete(str(error))}", file=sys.stderr)


def failure(error: GpuBoxError) -> Failure:
    problem = Problem(
        kind=type(error).__name__,
        what=hints.complete(error.what),
        where=error.where,
        remedy=hints.complete(error.remedy) if error.remedy else None,
        exit_code=error.exit_code,
        problems=error.problems if isinstance(error, ConfigError) else (),
        job=error.job if isinstance(error, Interrupted) else None,
    )
    return Failure(error=problem)
