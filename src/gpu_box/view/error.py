"""An error, for the one who reads it: what, where, what to do."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from gpu_box.errors import ConfigError, GpuBoxError


@dataclass(frozen=True, kw_only=True)
class Problem:
    kind: str  # CredentialsError, QuotaError, ...: the class in gpu_box.errors
    what: str
    where: str | None
    remedy: str | None  # what can be done now
    exit_code: int  # 1: AWS or the machine said no; 2: the input is wrong
    problems: tuple[str, ...] = ()  # of a config file: all of them


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What a command prints with `--json` instead of its result; its exit code is the one in it."""

    error: Problem


def print_error(error: GpuBoxError, *, as_json: bool = False) -> None:
    """To standard error; with as_json, one object to standard output."""
    if as_json:
        from gpu_box.view.json import dumps

        print(dumps(failure(error)))
        return
    from gpu_box.view.console import fitted

    text = "\n".join(f"error: {line}" for line in str(error).splitlines())
    print(fitted(text, sys.stderr), file=sys.stderr)


def failure(error: GpuBoxError) -> Failure:
    problem = Problem(
        kind=type(error).__name__,
        what=error.what,
        where=error.where,
        remedy=error.remedy,
        exit_code=error.exit_code,
        problems=error.problems if isinstance(error, ConfigError) else (),
    )
    return Failure(error=problem)
