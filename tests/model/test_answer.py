"""The box's answers are data: no text moves the cursor, and an invalid answer is one clear error."""

from __future__ import annotations

import json

import pytest

from gpu_box.aws.console import find_record
from gpu_box.errors import InputError, MachineError
from gpu_box.machine import setup, watcher
from gpu_box.machine.setup import Desired
from gpu_box.machine.ssh.connection import Result
from gpu_box.model.answer import read_json
from tests.paths import REMOTE

ESCAPE = "\x1b]52;c;cHdu\x07"


def test_strings_of_the_box_are_shown_and_not_obeyed() -> None:
    found = read_json(json.dumps({"a" + ESCAPE: [{"b": ESCAPE + "\u202e"}, 1, None, "é\n"]}))
    assert found == {r"a\x1b]52;c;cHdu\x07": [{"b": r"\x1b]52;c;cHdu\x07\u202e"}, 1, None, "é\n"]}


def test_an_error_never_moves_the_cursor() -> None:
    error = InputError("what" + ESCAPE, where="\x9b2J", remedy="\rno")
    assert str(error) == r"\x9b2J: what\x1b]52;c;cHdu\x07. \rno"


def test_a_reason_on_the_console_is_shown_and_not_obeyed() -> None:
    record = {"layer": "watcher", "reason": "idle" + ESCAPE, "wall": 1e9}
    stopped = find_record("gpu-box-stopped " + "[" * 100_000 + f"\ngpu-box-stopped {json.dumps(record)}\n")
    assert stopped and stopped.reason == r"idle\x1b]52;c;cHdu\x07"
    assert find_record("gpu-box-stopped " + "[" * 100_000) is None


@pytest.mark.parametrize(
    "said",
    ["", "[]", "{}", "3", "[" * 100_000, '{"steps": []}', '{"mirror": "", "jupyter": {"port": 1e999}}',
     '{"mirror": "", "steps": [3]}', '{"mirror": "", "health": {"disk": {}}}',
     '{"mirror": "", "watch": {"deadline": 1e300}}'],
)  # fmt: skip
def test_an_answer_of_set_up_that_makes_no_sense_is_one_clear_line(said: str) -> None:
    asked = setup.question(Desired(remote=REMOTE))
    with pytest.raises(MachineError, match="box: the box cannot be checked"):
        setup.read_answer(asked, Result(exit_status=0, stdout=said, stderr=""), "box")


def test_activity_that_makes_no_sense_is_refused() -> None:
    for said in ("[]", '{"spans": [[1e300, 0, "idle", []]]}', "[" * 100_000):
        with pytest.raises(ValueError):
            watcher.parse_activity(said)
