"""A job's log, unchanged; its `@progress` lines are a bar on a terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed.cloud import wait_until

from gpu_box.errors import printable
from gpu_box.view import console
from gpu_box.view.training import JobLog, JobProgress, _figures, _parse

from .. import needs
from .conftest import OnTerminal

STEP = {"phase": "fit", "epoch": 2, "epochs": 5, "step": 3, "steps": 12, "loss": 0.31, "accuracy": 0.905}
MONEY = {"images_per_s": 12345.2, "dollars": 12.3456}

NEWLINE = "\n"


def line_of(record: object) -> str:
    return "@progress " + json.dumps(record)


def test_without_a_terminal_the_log_is_as_it_stands_and_the_bar_s_lines_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with JobLog() as log:
        log.take("[loading] :cloud: 200 photographs\n")
        log.take(line_of(STEP) + "\n")
        log.take("accuracy 0.9\n")
    assert capsys.readouterr().out == "[loading] :cloud: 200 photographs\naccuracy 0.9\n"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii:strict", "utf-8:strict"])
def test_a_sign_that_a_pipe_cannot_take_ends_nothing(encoding: str) -> None:
    source = (
        "from gpu_box.view.training import JobLog\n"
        "with JobLog() as log: log.take('100 % \\u2713 \\udce9\\n'); log.take('on\\n')"
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
        '@progress {"epoch": true}',
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
def test_no_progress_line_of_a_user_s_own_breaks_the_log(record: Any) -> None:
    parsed = _parse(line_of(record))
    assert parsed is None or isinstance(_figures(parsed), str)


def test_a_job_that_only_counts_has_a_bar_too() -> None:
    record = _parse('@progress {"step": 3, "steps": 12}')
    assert record == JobProgress(phase="job", epoch=1, epochs=1, step=3, steps=12, loss=None, accuracy=None,
                        images_per_s=None, dollars=None)  # fmt: skip
    assert _figures(record) == ""


def test_on_a_terminal_the_bar_fits_80_columns_and_lines_scroll_above_it(on_terminal: OnTerminal) -> None:
    source = f"""
import time
from gpu_box.view.training import JobLog
with JobLog() as log:
    log.take("before\\n")
    log.take({line_of({**STEP, "epoch": 10, "epochs": 10, "loss": 10.123, **MONEY}) + NEWLINE!r})
    log.take("[between] :cloud: lines\\n")
    time.sleep(0.3)
    log.take({line_of({**STEP, "epoch": 10, "epochs": 10, "step": 12, **MONEY}) + NEWLINE!r})
print("after")
"""
    status, written = on_terminal(source)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    assert status == 0
    assert "@progress" not in plain
    assert "[between] :cloud: lines" in plain
    # Epoch, loss, accuracy, speed and cost, after the time left.
    assert re.search(r"\d:\d\d:\d\d epoch 10/10 loss 0.310 acc 90.5% 12345 img/s \$12.35", plain)
    assert "epoch 10/10 loss 10.123" in plain
    assert all(len(line.rstrip()) <= 80 for line in re.split(r"[\r\n]+", plain))
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
    assert plain.rstrip().endswith("after")


def test_a_broken_off_log_gives_the_cursor_back(on_terminal: OnTerminal) -> None:
    source = f"""
from gpu_box.view.training import JobLog
with JobLog() as log:
    log.take({line_of(STEP) + NEWLINE!r})
    raise KeyboardInterrupt
"""
    _, written = on_terminal(source)
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


ATTACKS = {
    "OSC 52, the clipboard": "\x1b]52;c;cHduZWQ=\x07",
    "OSC 52, ended by ST": "\x1b]52;c;cHduZWQ=\x1b\\",
    "OSC as one character": "\x9d0;pwned\x9c",
    "OSC without an end": "\x1b]0;pwned",
    "CVE-2003-0063, the title is typed back": "\x1b]2;pwned\x07\x1b[21t",
    "DSR, an answer is typed": "\x1b[6n",
    "DA": "\x1b[c\x1b[>c",
    "CSI as one character": "\x9b6n",
    "DCS, DECRQSS": "\x1bP$q\"p\x1b\\",
    "APC, PM, SOS": "\x1b_pwned\x1b\\\x1b^pwned\x1b\\\x1bXpwned\x1b\\",
    "clear the screen": "\x1b[2J\x1b[H\x1bc",
    "alternate screen": "\x1b[?1049h",
    "a private form of SGR": "\x1b[?1m\x1b[>4;1m",
    "left, and far up": "\x1b[5D\x1b[9999A",
    "delete": "\x7f",
    "the other direction": "\u202e",
    "other letters": "\x0e\x1b(0",
    "cut short": "\x1b[",
    "an escape within": "\x1b[\x1b]0;pwned\x07",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_terminal_obeys_nothing_of_a_job_s_line(attack: str) -> None:
    """It is shown. xterm's ctlseqs.txt; CVE-2021-25743 is the same in kubectl."""
    assert console.harmless(f"a{ATTACKS[attack]}") == f"a{printable(ATTACKS[attack])}"


@pytest.mark.parametrize(
    "line",
    [
        "\x1b[1;31mred\x1b[0m\x1b[m",
        "\x1b[38:2::1:2:3mx",
        " 45%|####  | 9/20\x1b[A",
        "\r\x1b[2K\x1b[Kdone\t✓ é",
        "99%\x08\x08\x08100%",
    ],
)
def test_colours_and_progress_bars_stay_on_a_terminal(line: str) -> None:
    assert console.harmless(line) == line


@given(st.text(st.sampled_from("\x1b[]P\\;0?m\x07\x9b\x9d\x9cAKx\x00\x08")))
def test_no_mixture_of_sequences_makes_another(line: str) -> None:
    left = re.sub(r"\x1b\[(?:[0-9;:]*m|\d{0,2}A|[0-2]?K)", "", console.harmless(line))
    assert not re.search(r"[\x00-\x07\x1b\x80-\x9f]", left)


def test_raw_passes_everything_on(on_terminal: OnTerminal) -> None:
    attack = "a\x1b]0;title\x07\x1b[5D"
    for raw, expected in ((False, "a" + printable(attack[1:])), (True, attack)):
        source = (
            f"from gpu_box.view.training import JobLog\nwith JobLog(raw={raw}) as log: log.take({attack!r})"
        )
        assert expected in on_terminal(source)[1]


def test_a_pipe_gets_the_log_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    with JobLog() as log:
        log.take("\x1b[31mred\x1b]52;c;eA==\x07")
    assert capsys.readouterr().out == "\x1b[31mred\x1b]52;c;eA==\x07\n"


def test_a_phase_is_no_escape_for_the_terminal() -> None:
    record = _parse(line_of({**STEP, "phase": "\x1b]0;pwned\x07" + 100 * "x"}))
    assert record and record.phase.startswith(r"\x1b]0;pwned\x07xxx") and len(record.phase) == 40


def test_tmux_a_terminal_of_its_own_keeps_its_title_and_clipboard(tmp_path: Path) -> None:
    needs.require_programs("tmux")
    source = (
        "from gpu_box.view.training import JobLog\n"
        "with JobLog() as log:\n"
        f"    for line in {list(ATTACKS.values())!r}: log.take('ok ' + line + '\\n')\n"
        "    log.take('\\x1b[31mred\\n')\n"
        "import time; time.sleep(60)"
    )
    (tmp_path / "job.py").write_text(source)
    tmux = ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]

    def ask(*words: str) -> str:
        return subprocess.run([*tmux, *words], capture_output=True, text=True).stdout

    try:
        ask("new-session", "-d", "-x", "80", "-y", "50", "cat")
        ask("set-option", "-g", "set-clipboard", "on")
        title = ask("display-message", "-p", "#{pane_title}")
        ask("respawn-pane", "-k", f"{sys.executable} {tmp_path / 'job.py'}")
        wait_until(lambda: "red" in ask("capture-pane", "-p"), seconds=60)
        assert ask("capture-pane", "-p").split().count("ok") == len(ATTACKS)
        assert ask("display-message", "-p", "#{pane_title} #{alternate_on}") == f"{title.strip()} 0\n"
        assert ask("list-buffers") == ""
        assert "\x1b[31mred" in ask("capture-pane", "-p", "-e")
    finally:
        ask("kill-server")


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with JobLog() as log:
        log.take(f"loading\n{line_of(STEP)}\naccuracy 0.9\n")
    assert capsys.readouterr().out == "loading\naccuracy 0.9\n"
