"""`init`: a config.yaml made from config.example.yaml, its comments kept, a few keys set."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpu_box import config_file
from gpu_box import config_values as values
from gpu_box.errors import ConfigError, InputError
from gpu_box.resources import example_config


@dataclass(frozen=True, kw_only=True)
class Answers:
    """As text, as a user types them."""

    name: str
    region: str
    instance_type: str
    max_hours: str


DEFAULTS = Answers(name="gpu-box", region="us-east-1", instance_type="g4dn.xlarge", max_hours="12h")


def default_region() -> str:
    """The one that the AWS SDK would take from the environment, else us-east-1, where most is offered."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or DEFAULTS.region


def type_choices() -> str:
    """The usual first choices with their price, a line each."""
    from gpu_box.aws.catalogue import catalogue

    table = catalogue()
    usual = ("g4dn.xlarge", "g6.xlarge", "g5.xlarge", "g6e.xlarge")
    lines = [f"  {name:<14} ${table.types[name].usd_hour:<7} an hour  {table.types[name]}" for name in usual]
    return "\n".join([*lines, f"  prices: {table.prices_region} table of {table.prices_of}"])


def refuse_existing(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise InputError("is there already", where=str(path), remedy="Edit it, or replace it with --force.")


def render(answers: Answers) -> str:
    """The example with the answers in it. Raises ConfigError that names every answer that cannot be one."""
    _check(answers)
    text = example_config().read_text(encoding="utf-8")
    for key, value in (
        ("name", answers.name),
        ("region", answers.region),
        ("instance_types", f"[{answers.instance_type}]"),
        ("max_hours", answers.max_hours.strip()),
    ):
        # The first line that sets the key, commented out or not, at its own indentation.
        text, count = re.subn(rf"^( *)#?{key}:.*$", rf"\g<1>{key}: {value}", text, count=1, flags=re.M)
        assert count == 1, f"config.example.yaml has no line for {key}"
    config_file.parse(text.encode(), Path("config.yaml"))
    return text


def write(path: Path, answers: Answers) -> None:
    """Whole or not at all. Raises ConfigError as `render` does, InputError where nothing can be written."""
    text = render(answers)
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"cannot be written: {error.strerror}", where=str(path)) from None


def _check(answers: Answers) -> None:
    """Each as the file's reader takes it; so none can carry YAML of its own into the file."""
    limits = config_file.SCHEMA["limits"]
    assert isinstance(limits, Mapping)
    problems = []
    for what, answer, parse in (
        ("name", answers.name, values.box_name),
        ("region", answers.region, values.region),
        ("instance type", answers.instance_type, values.instance_type),
        ("time limit", answers.max_hours, limits["max_hours"]),
    ):
        try:
            assert callable(parse)
            parse(answer)
        except ValueError as error:
            problems.append(f"{what}: {error}")
    if problems:
        raise ConfigError(problems, where="init")
