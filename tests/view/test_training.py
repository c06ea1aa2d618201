"""A job's log: as it stands, and its `@progress` lines as a bar where there is a terminal for one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_box.view.training import JobLog, Told, _figures, _parse

from .conftest import OnTerminal

STEP = {"phase": "fit", "epoch": 2, "epochs": 5, "step": 3, "steps": 12, "loss": 0.31, "accuracy": 0.905}
MONEY = {"images_per_s": 12345.2, "dollars": 12.3456}


def line_of(told: object) -> str:
    return "@progress " + json.dumps(told)


def test_without_a_terminal_the_log_is_as_it_stands_and_the_bar_s_lines_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with JobLog() as log:
        log.take("[loading] :cloud: 200 photographs")
        log.take(line_of(STEP))
        log.take("accuracy 0.9")
    assert capsys.readouterr().out == "[loading] :cloud: 200 photographs\naccuracy 0.9\n"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii:strict", "utf-8:strict"])
def test_a_sign_that_a_pipe_cannot_take_ends_nothing(encoding: str) -> None:
    source = (
        "from gpu_box.view.training import JobLog\n"
        "with JobLog() as log: log.take('100 % \\u2713 \\udce9'); log.take('on')"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True
    )
    assert done.stderr == b""
    assert done.stdout in (b"100 % ? ?\non\n", "100 % ✓ ?\non\n".encode())


@pytest.mark.parametrize(
    "line",
    [
        "@progress",
        "@progress {",
        "@progress []",
        "@progress 3",
        '@progress {"epoch": "two"}',
        '@progress {"loss": "low"}',
        '@progress {"steps": 1e999}',
        '@progress {"epoch": null}',
        "@progressive",
        " " + line_of(STEP),
    ],
)
def test_what_is_no_progress_is_a_line_like_any_other(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with JobLog() as log:
        log.take(line)
    assert capsys.readouterr().out == f"{line}\n"


@given(st.recursive(st.none() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner)
                    | st.dictionaries(st.sampled_from(list(STEP)), inner), max_leaves=8))  # fmt: skip
def test_no_progress_line_of_a_user_s_own_breaks_the_log(told: Any) -> None:
    parsed = _parse(line_of(told))
    assert parsed is None or isinstance(_figures(parsed), str)


def test_a_job_that_only_counts_has_a_bar_too() -> None:
    told = _parse('@progress {"step": 3, "steps": 12}')
    assert told == Told(phase="job", epoch=1, epochs=1, step=3, steps=12, loss=None, accuracy=None,
                        images_per_s=None, dollars=None)  # fmt: skip
    assert _figures(told) == ""


def test_on_a_terminal_the_bar_fits_80_columns_and_lines_scroll_above_it(on_terminal: OnTerminal) -> None:
    source = f"""
import time
from gpu_box.view.training import JobLog
with JobLog() as log:
    log.take("before")
    log.take({line_of({**STEP, "epoch": 10, "epochs": 10, "loss": 10.123, **MONEY})!r})
    log.take("[between] :cloud: lines")
    time.sleep(0.3)
    log.take({line_of({**STEP, "epoch": 10, "epochs": 10, "step": 12, **MONEY})!r})
print("after")
"""
    status, written = on_terminal(source)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    assert status == 0
    assert "@progress" not in plain
    assert "[between] :cloud: lines" in plain
    # Epoch, loss, accuracy, speed and money; the time that is left is before them.
    assert re.search(r"\d:\d\d:\d\d epoch 10/10 loss 0.310 acc 90.5% 12345 img/s \$12.35", plain)
    assert "epoch 10/10 loss 10.123" in plain
    assert all(len(line.rstrip()) <= 80 for line in re.split(r"[\r\n]+", plain))
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
    assert plain.rstrip().endswith("after")


def test_a_broken_off_log_gives_the_cursor_back(on_terminal: OnTerminal) -> None:
    source = f"""
from gpu_box.view.training import JobLog
with JobLog() as log:
    log.take({line_of(STEP)!r})
    raise KeyboardInterrupt
"""
    _, written = on_terminal(source)
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
