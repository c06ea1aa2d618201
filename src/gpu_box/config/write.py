"""`init`: a config.yaml made from config.example.yaml, its comments kept, a few keys set."""

from __future__ import annotations

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
    """As text, as a user types them."""

    name: str
    region: str
    instance_type: str
    budget: str  # US dollars a month, or NO_BUDGET
    max_hours: str


NO_BUDGET = "none"
DEFAULTS = Answers(
    name="gpu-box", region="us-east-1", instance_type="g4dn.xlarge", budget="50", max_hours="12h"
)
_LONGEST_NAME = 29  # a box's name has 32 at most, and the members of a cluster end with -2 to -99
# What each is called when it is wrong.
_TITLES = {
    "name": "name",
    "region": "region",
    "instance_type": "instance type",
    "budget": "budget",
    "max_hours": "time limit",
}


def default_region() -> str:
    """The one that the AWS SDK would take from the environment, else us-east-1, where most is offered."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or DEFAULTS.region


def proposed_name(owner: str, folder: Path) -> str:
    """OWNER-FOLDER, of what a box's name may be made of: in a shared account each person's own."""
    parts = (re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-").lower() for part in (owner, folder.name))
    return "-".join(filter(None, parts))[:_LONGEST_NAME].strip("-") or DEFAULTS.name


def parse(question: str, answer: str) -> Any:
    """One answer as the file's reader takes it. Raises ValueError. question: a field of Answers."""
    limits = read.SCHEMA["limits"]
    assert isinstance(limits, Mapping)
    if question == "budget" and answer.strip() == NO_BUDGET:
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
    """US dollars a month. Of answers that `check` has passed."""
    budget: Decimal | None = parse("budget", answers.budget)
    return budget


def max_hours_of(answers: Answers) -> timedelta:
    limit: timedelta = parse("max_hours", answers.max_hours)
    return limit


def refuse_existing(path: Path, *, force: bool) -> None:
    try:
        there = path.exists()
    except PermissionError:
        raise InputError("cannot be written: permission denied", where=str(path)) from None
    if there and not force:
        raise InputError("is there already", where=str(path), remedy="Edit it, or replace it with --force.")


def render(answers: Answers) -> str:
    """The example with the answers in it. Raises ConfigError that names every answer that cannot be one."""
    check(**asdict(answers))
    text = example_config().read_text(encoding="utf-8")
    for key, value in (
        ("name", answers.name),
        ("region", answers.region),
        ("instance_types", f"[{answers.instance_type}]"),
        ("max_hours", answers.max_hours.strip()),
        ("budget", str(budget_of(answers) or "")),
    ):
        if not value:  # the example's own line, which is commented out, says that there is none
            continue
        # The first line that sets the key, commented out or not, at its own indentation.
        text, count = re.subn(rf"^( *)#?{key}:.*$", rf"\g<1>{key}: {value}", text, count=1, flags=re.M)
        assert count == 1, f"config.example.yaml has no line for {key}"
    read.parse(text.encode(), Path("config.yaml"))
    return text


def write(path: Path, answers: Answers) -> None:
    """Whole or not at all. Raises ConfigError as `render` does, InputError where nothing can be written."""
    text = render(answers)
    try:
        path.parent.stat()  # a folder that was mistyped is not made
        write_whole(path, text, mode=None)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(path)) from None


def check(**answers: str | None) -> None:
    """Those that are given, by field of Answers. Raises ConfigError with every one that cannot be one.

    Each as the file's reader takes it; so none can carry YAML of its own into the file.
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
