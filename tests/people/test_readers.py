"""A reader that goes away, and output without a newline."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Desk

QUIET = "echo begun; sleep 600"  # a job that says one line and no more


# reboot#34, skypilot PR 1324
@pytest.mark.parametrize(
    ("job", "line"),
    [("quiet", QUIET), ("ended", "seq 1 300000"), ("busy", "while sleep 0.05; do echo begun; done")],
)
def test_logs_into_head_ends_at_once_and_says_nothing(desk: Desk, job: str, line: str) -> None:
    desk.run("run", "--detach", "--job", job, "--", line)
    with desk.started("logs", job) as command:
        assert command.out.readline() in (b"begun\n", b"1\n")
        command.out.close()
        assert command.end() == (141, "")


# reboot#34: the same for a command that prints a result
def test_a_result_into_head_ends_without_a_message(desk: Desk) -> None:
    with desk.started("init", "--help") as command:
        command.out.close()
        assert command.end() == (141, "")


# A relative: a full disk is our own trouble, and no lost link
def test_a_log_onto_a_full_disk_is_one_line(desk: Desk) -> None:
    desk.run("run", "--detach", "--job", "full", "--", "echo begun")
    with Path("/dev/full").open("wb") as full, desk.started("logs", "full", stdout=full) as command:
        assert command.end() == (1, "error: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], ["init", "--help"], ["policy"], ["ls"], ["--json", "ls"]]
)
def test_a_result_onto_a_full_disk_is_one_line(desk: Desk, words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full, desk.started(*words, stdout=full) as command:
        assert command.end() == (1, "error: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_error(desk: Desk, closed: str) -> None:
    command = f'"{sys.executable}" -m gpu_box --local ls {closed}'
    done = subprocess.run(
        ["bash", "-c", command], cwd=desk.folder, env=desk.environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


# torchx#424
def test_progress_by_carriage_returns_and_a_prompt_are_shown_at_once(desk: Desk) -> None:
    said = b"10%\r20%\rContinue? [y/N] "
    desk.run("run", "--detach", "--job", "shows", "--", f"printf '%b' '{said.decode()}'; sleep 60")
    with desk.started("logs", "shows") as command:
        seen = b""
        while len(seen) < len(said):
            seen += command.out.read1(4096)
        assert seen == said


# torchx#424: in linear time
def test_a_long_log_without_a_newline_is_read_in_linear_time(tmp_path: Path) -> None:
    source = (
        "import time, resource\n"
        "from gpu_box.view.training import JobLog\n"
        "with JobLog() as log:\n"
        "    for _ in range(512): log.take('\\r 50% of it' * 5461)\n"
        "    for _ in range(512): log.take('?' * 65536)\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "import sys; print(used.ru_utime, file=sys.stderr)\n"
    )
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", source], stdout=out, stderr=subprocess.PIPE, text=True, check=True
        )
    assert float(done.stderr) < 5
    assert (tmp_path / "out").stat().st_size == 512 * (11 * 5461 + 65536) + 1


# A program that reads: one JSON value, and the job's exit status
def test_json_run_prints_how_the_job_ended_and_exits_with_its_status(desk: Desk) -> None:
    done = desk.run("--json", "run", "--job", "fails", "--", "echo no; exit 3", expect=3)
    assert json.loads(done.stdout) == {"job": "fails", "exit_status": 3, "log": "no\n"}
    assert done.stderr == ""


def test_logs_without_following_prints_what_there_is(desk: Desk) -> None:
    desk.run("run", "--detach", "--job", "waits", "--", QUIET)
    with desk.started("logs", "waits") as command:
        command.out.readline()
    assert desk.run("logs", "--no-follow", "waits").stdout == "begun\n"
    shown = json.loads(desk.run("--json", "logs", "--no-follow", "waits").stdout)
    assert shown == {"job": "waits", "exit_status": None, "log": "begun\n"}
