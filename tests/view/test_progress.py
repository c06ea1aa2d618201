"""Progress: live on a terminal, which is always restored; plain lines everywhere else."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from gpu_box.view import progress
from gpu_box.view.progress import PlainLines, Silent, format_left, format_took

from .conftest import OnTerminal

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def lines_of(written: str) -> list[str]:
    """The final screen, without lines that were redrawn or cleared."""
    screen, row = [""], 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if piece == "\n":
            row += 1
            screen += [""] * (row + 1 - len(screen))
        elif piece == "\x1b[1A":
            row -= 1
        elif piece == "\x1b[2K":
            screen[row] = ""
        elif not piece.startswith("\x1b") and piece != "\r":
            screen[row] += piece
    return [line.rstrip() for line in screen if line.strip()]


def test_plain_lines_tell_how_each_step_ended(capsys: pytest.CaptureFixture[str]) -> None:
    report = PlainLines()
    report.start("key pair", "key pair: looking")
    report.update("key pair", "key pair: importing")
    report.done("key pair", "key pair: imported")
    report.start("ssh")
    report.failed("ssh", "SSH to 203.0.113.7: no answer")
    report.note("a second box is there")
    report.done("jupyter")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "    ok  key pair: imported",
        "failed  SSH to 203.0.113.7: no answer",
        "  note  a second box is there",
        "    ok  jupyter",
    ]


def test_a_step_that_goes_on_for_long_says_so_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr("gpu_box.view.progress.time.monotonic", lambda: now)
    report = PlainLines()
    report.start("python")
    for second in range(0, 101, 10):
        now = 1_000.0 + second
        report.update("python", f"python: {second} MB of torch")
    report.done("python", "python: ready")
    assert capsys.readouterr().err.splitlines() == [
        "   ...  python: 30 MB of torch  30.0 s",
        "   ...  python: 60 MB of torch  1 min 00 s",
        "   ...  python: 90 MB of torch  1 min 30 s",
        "    ok  python: ready  1 min 40 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.05, ""), (3.21, "  3.2 s"), (59.9, "  59.9 s"), (125, "  2 min 05 s")]
)
def test_a_step_that_took_its_time_says_how_long(seconds: float, text: str) -> None:
    assert format_took(seconds) == text


def test_for_json_no_progress_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    report = progress.make_reporter(silent=True)
    assert isinstance(report, Silent)
    report.start("a")
    report.update("a", "b")
    report.done("a")
    report.failed("a")
    report.note("c")
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_there_are_plain_lines_and_no_escapes() -> None:
    source = (
        "from gpu_box.view import progress, console; r = progress.make_reporter(); "
        "r.start('a'); r.done('a', '[x] a: done'); console.output().print('[good]out[/]')"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("out\n", "    ok  [x] a: done\n".replace("[x] a", "a: [x] a"))


LIVE = """
import time
from gpu_box.view import progress
report = progress.make_reporter()
report.start("key pair", "key pair: importing")
report.start("instance", "instance: requesting g4dn.xlarge " + "and a very long explanation of it " * 5)
time.sleep(0.3)
report.update("instance", "instance: pending")
report.note("[note] as it :cloud: stands")
report.done("key pair", "key pair: imported")
time.sleep(0.2)
"""


def test_live_lines_leave_what_was_done_and_nothing_else(on_terminal: OnTerminal) -> None:
    status, written = on_terminal(LIVE + "report.failed('instance', 'instance: none left'); progress.close()")
    assert status == 0
    seen = lines_of(written)
    assert seen[0] == "! [note] as it :cloud: stands"
    assert re.fullmatch(r"✓ key pair: imported  \d+\.\d s", seen[1])
    assert re.fullmatch(r"✗ instance: none left  \d+\.\d s", seen[2])
    assert len(seen) == 3


def test_a_long_live_line_is_cut_and_keeps_its_time(on_terminal: OnTerminal) -> None:
    _, written = on_terminal(LIVE + "progress.close()")
    drawn = [line.rstrip() for line in ESCAPES.sub("", written).splitlines()]
    long = [line for line in drawn if "very long explanation" in line]
    assert long
    assert all(len(line.split("\r")[-1]) <= 80 for line in long)
    assert any(re.search(r"… 0\.\d s$", line) for line in long)


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("raise ValueError('in the middle')", 1),
        ("raise KeyboardInterrupt", 130),
        ("raise gpu_box.errors.InputError('no')", 2),
    ],
)
def test_the_cursor_is_given_back_whatever_ends_a_command(
    on_terminal: OnTerminal, ending: str, status: int
) -> None:
    """Through `main`: this function replaces one command's code."""
    source = f"""
import sys, gpu_box.errors
from gpu_box.cli import main
def command(words):
{"".join(f"    {line}{chr(10)}" for line in LIVE.strip().splitlines())}
    {ending}
main._run = command
sys.exit(main.main(["up"]))
"""
    ended, written = on_terminal(source)
    assert ended == status
    assert HIDE in written
    assert written.rindex(SHOW) > written.rindex(HIDE)
    assert "Traceback" not in written
    assert "instance: pending" not in "\n".join(lines_of(written))


def test_a_command_that_wants_the_terminal_for_itself_has_it_between_steps(on_terminal: OnTerminal) -> None:
    _, written = on_terminal(
        "from gpu_box.view import progress; r = progress.make_reporter(); "
        "r.start('a'); r.done('a', 'done'); print('MINE'); r.start('b'); r.done('b', 'done')"
    )
    before, after = written.split("MINE")
    assert before.rindex(SHOW) > before.rindex(HIDE)
    assert HIDE in after


def test_no_colour_is_honoured(on_terminal: OnTerminal) -> None:
    source = LIVE + "report.done('instance', 'up'); progress.close()"
    coloured, plain = on_terminal(source)[1], on_terminal(source, NO_COLOR="1")[1]
    assert "\x1b[32m" in coloured
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)


def test_a_terminal_that_can_do_nothing_gets_plain_lines(on_terminal: OnTerminal) -> None:
    _, written = on_terminal(LIVE + "report.done('instance', 'up')", TERM="dumb")
    assert "\x1b" not in written
    assert re.search(r"ok  key pair: imported  0\.\d s", written)


def test_many_steps_at_once_from_many_threads_come_to_an_end(on_terminal: OnTerminal) -> None:
    """Drawing and reporting take each other's locks here, hundreds of times."""
    source = """
import threading
from gpu_box.view import progress
progress._REFRESH_PER_S = 200
report = progress.make_reporter()
def work(number):
    for turn in range(150):
        step = f"step {number}"
        report.start(step); report.update(step, "on"); report.done(step, f"{number}.{turn}")
threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
progress.close()
"""
    status, written = on_terminal(source)
    assert status == 0
    assert written.count("✓") == 900


def test_signs_that_a_terminal_does_not_know_end_nothing(on_terminal: OnTerminal) -> None:
    source = LIVE + "report.done('instance', 'up'); progress.close()"
    status, written = on_terminal(source, PYTHONIOENCODING="latin-1")
    assert status == 0
    assert "? instance: up" in ESCAPES.sub("", written)


PACED = """
import time
from gpu_box.store.timings import Estimate, Run
from gpu_box.view import progress
pace = Estimate((Run(steps=(("key pair", 1.0), ("ssh", 31.0)), s=61.0),), time.monotonic())
report = progress.make_reporter(estimate=pace)
report.start("key pair")
report.done("key pair")
report.start("ssh")
time.sleep(0.4)
report.done("ssh")
progress.close()
"""


def test_live_lines_say_how_long_the_rest_took_the_last_time(on_terminal: OnTerminal) -> None:
    _, written = on_terminal(PACED)
    assert "about 60 s left (from earlier runs)" in written
    assert [line.partition("  ")[0] for line in lines_of(written)] == ["✓ key pair", "✓ ssh"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "taking longer than before"), (2, "about 5 s left (from earlier runs)"),
     (200, "about 3 min left (from earlier runs)")],
)  # fmt: skip
def test_what_is_left_is_rounded(seconds: float, text: str) -> None:
    assert format_left(seconds) == text
