"""An error on the screen: each part on its own line, and only JSON on standard output."""

from __future__ import annotations

import json

import pytest

from gpu_box.errors import CapacityError, ConfigError, GpuBoxError, InputError
from gpu_box.view.error import print_error

FULL = CapacityError(
    "AWS has no g4dn.xlarge left",
    code="InsufficientInstanceCapacity",
    where="us-east-1a",
    remedy="Try later.",
)


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (GpuBoxError("what"), ["error: what"]),
        (FULL, ["error: us-east-1a: AWS has no g4dn.xlarge left. Try later."]),
        (ConfigError(["line 1: a"], where="c.yaml"), ["error: c.yaml: line 1: a"]),
        (ConfigError(["a", "b"], where="c.yaml"), ["error: c.yaml: a", "error: c.yaml: b"]),
    ],
)
def test_for_a_person_it_is_one_line_for_each_problem(
    error: GpuBoxError, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    print_error(error)
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", lines)


def test_for_a_script_it_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(FULL, as_json=True)
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["error"] == {
        "kind": "CapacityError",
        "what": "AWS has no g4dn.xlarge left",
        "where": "us-east-1a",
        "remedy": "Try later.",
        "exit_code": 1,
        "problems": [],
        "job": None,
    }


def test_for_a_script_a_config_s_problems_are_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ConfigError(["a", "b"], where="c.yaml"), as_json=True)
    answer = json.loads(capsys.readouterr().out)["error"]
    assert answer["problems"] == ["a", "b"]
    assert answer["exit_code"] == InputError.exit_code == 2
