"""Write config.yaml for `init`: config.example.yaml with its comments, and a few keys set."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from gpu_box.config import read, values
from gpu_box.errors import ConfigError, InputError
from gpu_box.files import write_whole
from gpu_box.resources import example_config


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Answers as typed text."""

    name: str
    region: str
    instance_type: str
    budget: str  # US dollars a month, or NO_BUDGET
    max_hours: str


NO_BUDGET = "none"
DEFAULTS = Answers(
    name="gpu-box", region="us-east-1", instance_type="g4dn.xlarge", budget="50", max_hours="12h"
)
_LONGEST_NAME = 29  # a box's name has at most 32 characters, and a cluster's members end with -2 to -99
# The names of the answers in errors.
_TITLES = {
    "name": "name",
    "region": "region",
    "instance_type": "instance type",
    "budget": "budget",
    "max_hours": "time limit",
}


def default_region() -> str:
    """The AWS SDK's region from the environment, or us-east-1, which offers the most."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or DEFAULTS.region


def proposed_name(owner: str, folder: Path) -> str:
    """OWNER-FOLDER in valid characters, so that names in a shared account differ."""
    parts = (re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-").lower() for part in (owner, folder.name))
    return "-".join(filter(None, parts))[:_LONGEST_NAME].strip("-") or DEFAULTS.name


def parse(question: str, answer: str) -> Any:
    """Parse one answer as the file's reader does. Raises ValueError. question: a field of Answers."""
    limits = read.SCHEMA["limits"]
    assert isinstance(limits, Mapping)
    if question == "budget" and answer.strip().lower() == NO_BUDGET:
        return None
    reader = {
        "name": values.box_name,
        "region": values.region,
        "instance_type": values.instance_type,
        "budget": limits["budget"],
        "max_hours": limits["max_hours"],
    }[question]
    assert callable(reader)
    return reader(answer)


def budget_of(answers: Answers) -> Decimal | None:
    """US dollars a month. The answers must have passed `check`."""
    budget: Decimal | None = parse("budget", answers.budget)
    return budget


def max_hours_of(answers: Answers) -> timedelta:
    limit: timedelta = parse("max_hours", answers.max_hours)
    return limit


def refuse_unwritable(path: Path) -> None:
    """Raise InputError if `write` could not write there."""
    try:
        path.parent.stat()
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _unwritable(path, error) from None


def refuse_existing(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise InputError("already exists", where=str(path), remedy="Edit it, or replace it with --force.")


def render(answers: Answers) -> str:
    """The example with the answers filled in. Raises ConfigError with every invalid answer."""
    check(**asdict(answers))
    text = example_config().read_text(encoding="utf-8")
    for key, value in (
        ("name", answers.name),
        ("region", answers.region),
        ("instance_types", f"[{answers.instance_type}]"),
        ("max_hours", answers.max_hours.strip()),
        ("budget", str(budget_of(answers) or "")),
    ):
        if not value:  # the example has the line commented out
            continue
        # The first line that sets the key, commented out or not, at its own indentation.
        text, count = re.subn(rf"^( *)#?{key}:.*$", rf"\g<1>{key}: {value}", text, count=1, flags=re.M)
        assert count == 1, f"config.example.yaml has no line for {key}"
    read.parse(text.encode(), Path("config.yaml"))
    return text


def write(path: Path, answers: Answers) -> None:
    """Write atomically. Raises ConfigError as `render` does, InputError if the file cannot be written."""
    text = render(answers)
    try:
        path.parent.stat()  # do not create a mistyped folder
        write_whole(path, text, mode=None)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot be written: {error.strerror}", where=str(path))


def check(**answers: str | None) -> None:
    """Check the given answers, by field of Answers. Raises ConfigError with every invalid one.

    The file's own parsers are used, so that no answer can inject YAML into the file.
    """
    problems = []
    for question, answer in answers.items():
        if answer is None:
            continue
        try:
            parse(question, answer)
        except ValueError as error:
            problems.append(f"{_TITLES[question]}: {error}")
    if problems:
        raise ConfigError(problems, where="init")
