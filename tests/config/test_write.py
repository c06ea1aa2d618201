"""`init`: the file contains the answers, and never replaces another file."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_box.config.read import load, parse
from gpu_box.config.write import (
    DEFAULTS,
    Answers,
    default_region,
    proposed_name,
    refuse_existing,
    render,
    write,
)
from gpu_box.errors import ConfigError, InputError
from gpu_box.resources import example_config
from gpu_box.units import parse_duration, parse_money

ANSWERS = st.builds(
    Answers,
    name=st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?", fullmatch=True),
    region=st.sampled_from(["us-east-1", "eu-west-1", "ap-southeast-2", "us-gov-west-1"]),
    instance_type=st.sampled_from(["g4dn.xlarge", "g5.2xlarge", "p5.48xlarge", "g4dn.metal"]),
    budget=st.one_of(st.just("none"), st.integers(1, 100_000).map(str)),
    max_hours=st.integers(10, 30 * 24 * 60).map(lambda minutes: f"{minutes // 60}h{minutes % 60}m"),
)


@given(ANSWERS)
@settings(max_examples=30)
def test_the_file_says_what_was_answered_and_all_else_as_the_example(answers: Answers) -> None:
    config = parse(render(answers).encode(), Path("config.yaml"))
    example = parse(example_config().read_bytes(), Path("config.yaml"))
    assert config == replace(
        example,
        name=answers.name,
        region=answers.region,
        instance_types=(answers.instance_type,),
        limits=replace(
            example.limits,
            max_hours=parse_duration(answers.max_hours),
            budget=None if answers.budget == "none" else parse_money(answers.budget),
        ),
    )


def test_it_keeps_every_comment_of_the_example() -> None:
    def comments(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.strip().startswith("# ")]

    assert comments(render(DEFAULTS)) == comments(example_config().read_text())


def test_it_changes_five_lines_at_most() -> None:
    answers = Answers(
        name="other", region="eu-west-1", instance_type="g5.xlarge", budget="$20", max_hours="3h"
    )
    pairs = zip(example_config().read_text().splitlines(), render(answers).splitlines(), strict=True)
    assert [now for was, now in pairs if was != now] == [
        "name: other",
        "region: eu-west-1",
        "instance_types: [g5.xlarge]",
        "  max_hours: 3h",
        "  budget: 20",
    ]


def test_every_invalid_answer_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        render(Answers(name="a b", region="mars", instance_type="big", budget="much", max_hours="12"))
    assert str(caught.value).splitlines() == [
        "init: name: 'a b' is not a box name: 1 to 32 letters, digits and hyphens, no hyphen at either end",
        "init: region: 'mars' is not an AWS region such as us-east-1",
        "init: instance type: 'big' is not an instance type such as g4dn.xlarge",
        "init: budget: 'much' is not an amount of US dollars such as 50 or 49.99",
        "init: time limit: '12' is not a duration such as 30m, 2h or 1h30m; 12m or 12h?",
    ]


@pytest.mark.parametrize(
    "answer", ["a # b", "a\nregion: b", "a, b", "[a]", "a\\1", "\\g<0>", "&a", "", " ", "'"]
)
@pytest.mark.parametrize("question", ["name", "region", "instance_type", "budget", "max_hours"])
def test_no_answer_brings_yaml_of_its_own(question: str, answer: str) -> None:
    with pytest.raises(ConfigError):
        render(replace(DEFAULTS, **{question: answer}))


def test_a_time_limit_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="init: time limit: 31d is out of range: 10 min to 30 d"):
        render(replace(DEFAULTS, max_hours="31d"))


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("mine")
    with pytest.raises(InputError) as caught:
        refuse_existing(path, force=False)
    assert str(caught.value) == f"{path}: already exists. Edit it, or replace it with --force."
    refuse_existing(path, force=True)
    assert path.read_text() == "mine"


def test_a_refused_answer_leaves_the_file_as_it_was_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("mine")
    with pytest.raises(ConfigError):
        write(path, replace(DEFAULTS, name="not a name"))
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_in_the_midst_of_writing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "config.yaml", DEFAULTS)
    assert list(tmp_path.iterdir()) == []


def test_written_it_loads(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    write(path, replace(DEFAULTS, name="mine"))
    assert load(path).name == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_where_nothing_can_be_written_it_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent/config.yaml: cannot be written: No such file or directory"):
        write(tmp_path / "absent" / "config.yaml", DEFAULTS)
    with pytest.raises(InputError, match="cannot be written: Is a directory"):
        (tmp_path / "config.yaml").mkdir()
        write(tmp_path / "config.yaml", DEFAULTS)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_the_region_offered_first_is_the_one_that_aws_s_own_tools_would_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert default_region() == "us-east-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert default_region() == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert default_region() == "eu-north-1"


def test_the_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    """As an editor's: other users of a project's group may read it if this user's files allow it."""
    for umask, mode in ((0o027, 0o640), (0o077, 0o600)):
        before = os.umask(umask)
        try:
            write(tmp_path / "config.yaml", replace(DEFAULTS, name="mine"))
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "config.yaml").stat().st_mode) == mode


@pytest.mark.parametrize(
    ("owner", "folder", "name"),
    [
        ("ada", "/home/ada/dogs", "ada-dogs"),
        ("CORP\\o'neil", "/srv/My Project (2)", "corp-o-neil-my-project-2"),
        ("søren", "/", "s-ren"),
        ("", "/", "gpu-box"),
        ("a" * 40, "/dogs", "a" * 29),
        ("ada", "/" + "b" * 24 + "-c", "ada-" + "b" * 24),
    ],
)
def test_each_person_and_project_is_proposed_a_name_of_its_own(owner: str, folder: str, name: str) -> None:
    proposed = proposed_name(owner, Path(folder))
    assert proposed == name
    assert parse(f"name: {proposed}".encode(), Path("/config.yaml")).name == proposed
