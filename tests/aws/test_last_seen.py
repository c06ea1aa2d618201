"""The laptop's record of a box follows the commands; reading alone writes no file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_box.aws import last_seen
from gpu_box.aws.observe import Need, observe
from gpu_box.model.observed import ANYTHING, NOTHING, Expected

from .conftest import Laptop


def test_each_command_leaves_what_the_next_up_may_expect(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    assert last_seen.expected(mine.cloud) == NOTHING
    mine.up()
    assert last_seen.expected(mine.cloud) == ANYTHING
    stopped = mine.stop()
    assert stopped.instance and stopped.deadline_role_arn
    assert last_seen.expected(mine.cloud) == Expected(
        state="stopped", instance_id=stopped.instance.id, role_arn=stopped.deadline_role_arn
    )
    mine.up()
    assert last_seen.expected(mine.cloud) == ANYTHING
    mine.stop()
    mine.down()
    assert last_seen.expected(mine.cloud) == NOTHING


def test_a_box_that_another_laptop_made_is_not_expected_to_be_missing_twice(
    laptop: Callable[..., Laptop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = laptop().up().instance
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "another"))
    other = laptop()
    found = other.up().instance
    assert found and made and found.id == made.id
    assert last_seen.expected(other.cloud) == ANYTHING


@pytest.mark.parametrize("need", ["everything", "plan", "status", "enter"])
def test_a_laptop_that_only_looks_keeps_no_file(
    laptop: Callable[..., Laptop], need: Need, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = laptop()
    mine.up()
    mine.stop()
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "another"))
    observe(laptop().cloud, need=need)
    kept = {path.relative_to(tmp_path / "another").parts[0] for path in tmp_path.rglob("another/**/*.json")}
    assert kept <= {"reminded"}, "it may note that it looked for stopped boxes"
