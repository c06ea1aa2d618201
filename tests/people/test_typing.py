"""What people type and write: job names of any script, patterns in YAML, slips of the finger."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from gpu_box.box.work import job_name
from gpu_box.config import values
from gpu_box.config.document import compose
from gpu_box.config.read import parse
from gpu_box.errors import ConfigError
from gpu_box.nearest import nearest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # remote/jobs/job.py


# qbatch#208
@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python3", "тренировка.py"], "job-4b13a4"),
        (["python3", "entraîner.py"], "entrainer"),
        (["./.hidden.sh"], "hidden"),
        (["python", "x" * 70 + ".py"], "x" * 57 + "-c71bd1"),
        (["python", "a b(1).py"], "a-b-1"),
        (["-x", "--", "_.sh"], "job"),
        (["python", "--lr=1", "train.py"], "train"),
        (["python", "/very/long/" + "d" * 300 + "/train.py"], "train"),
        (["..."], "job"),
        ([""], "job"),
        (["\udce9.py"], "job-b136e1"),
        (["模型.py"], "job-c98e11"),
        (["模型 v2.ipynb", ""], "v2-7f68f0"),
        (["lesson – 1.ipynb", ""], "lesson-1"),
    ],
)
def test_any_script_makes_a_job_name(command: list[str], name: str) -> None:
    assert job_name(command) == name
    assert _NAME.fullmatch(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [("模型", "数据"), ("模型1", "数据1"), ("урок", "задача"), ("🐱", "🐶"), ("x" * 70, "x" * 70 + "y")],
)
def test_scripts_with_different_names_make_different_jobs(one: str, other: str) -> None:
    names = {job_name([f"{stem}.ipynb", ""]) for stem in (one, other)}
    assert len(names) == 2
    assert all(map(_NAME.fullmatch, names))


# instructlab#847
@pytest.mark.parametrize("value", ["*.zip", "!data/*", "%tmp", "@x", "`x`", "**/x", "!", ">x", "*.zip, a"])
@pytest.mark.parametrize("shape", ["sync:\n  exclude: [{}]\n", "sync:\n  exclude: [a, {}]\n"])
def test_a_pattern_that_yaml_takes_for_its_own_is_to_be_quoted(value: str, shape: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compose(shape.format(value).encode(), Path("config.yaml"))
    first = value.split(",")[0]
    assert f'quote a value that begins with {first[0]}: "{first}"' in str(refused.value)


@pytest.mark.parametrize("value", ["*data", "&x"])
def test_one_that_yaml_can_read_is_to_be_quoted_too(value: str) -> None:
    with pytest.raises(ConfigError, match="or quote"):
        compose(f"sync:\n  exclude: [{value}]\n".encode(), Path("config.yaml"))


REGIONS = ["us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-south-1"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("us-esat-1", ["us-east-1"]),
        ("us-east1", ["us-east-1"]),
        ("US-EAST-1", ["us-east-1"]),
        ("us-west-3", ["us-west-1", "us-west-2"]),
        ("eu-cental-1", ["eu-central-1"]),
        ("mars", []),
    ],
)
def test_a_slip_of_the_finger_gets_the_nearest(typed: str, meant: list[str]) -> None:
    assert nearest(typed, REGIONS) == meant


@pytest.mark.parametrize(
    ("read", "typed", "meant"),
    [
        (values.region, "US-EAST-1", "us-east-1"),
        (values.region, "us_east_1", "us-east-1"),
        (values.region, "us-east-1a", "us-east-1"),
        (values.region, "us-east", "us-east-1 or us-east-2"),
        (values.instance_type, "G4DN.xlarge", "g4dn.xlarge"),
        (values.instance_type, "g4dnxlarge", "g4dn.xlarge"),
        (values.instance_type, "g5", "g5.xlarge or g5.2xlarge or g5.4xlarge"),
        (values.instance_type, "H100", "p5.4xlarge or p5.48xlarge"),
    ],
)
def test_a_value_of_another_shape_gets_the_nearest_too(
    read: Callable[[str], str], typed: str, meant: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(f"; did you mean {meant}?")):
        read(typed)


def test_the_regions_of_the_hints_are_regions_of_aws() -> None:
    session = boto3.Session()
    known = {name for part in ("aws", "aws-us-gov") for name in session.get_available_regions("ec2", part)}
    assert set(values.REGIONS) <= known


# A relative of instructlab#847: a list without its brackets
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "instance_types: g4dn.xlarge, g5.xlarge",
            "instance_types: is a list: write [g4dn.xlarge, g5.xlarge]",
        ),
        ("zones: us-east-1a us-east-1b", "zones: is a list: write [us-east-1a, us-east-1b]"),
        ("network: {allow_ssh_from: '1.2.3.4, 5.6.7.8'}", "is a list: write [1.2.3.4, 5.6.7.8]"),
    ],
)
def test_a_list_without_brackets_is_shown_with_them(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        parse(f"{line}\n".encode(), Path("config.yaml"))


def test_a_list_of_variables_without_brackets_shows_no_value() -> None:
    with pytest.raises(ConfigError) as refused:
        parse(b"env: HF_TOKEN MODE=s3cr3t\n", Path("config.yaml"))
    assert "s3cr3t" not in str(refused.value)
