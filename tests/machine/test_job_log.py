"""A long log is bounded on the box; `logs` shows its first and last part, and says how much is missing."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.machine import jobs
from gpu_box.machine.files import upload_remote
from gpu_box.machine.ssh.connection import Connection
from jobs import job as on_box
from jobs import log
from tests.following import follow_lines
from tests.paths import REMOTE

FIRST, LAST, STEP = 64 << 10, 256 << 10, 64 << 10
MISSING = re.compile(r"\[gpu-box\] [0-9.]+ MB of this log are missing here \(bytes (\d+) to (\d+)\)")


@pytest.fixture
def box(machine: OpenSshMachine, connection: Connection) -> Connection:
    """A machine that keeps less of a log than others."""
    upload_remote.upload(connection, REMOTE)
    (machine.home / "work").mkdir()
    code = machine.home / ".gpu-box" / "remote" / "jobs" / "log.py"
    text = code.read_text()
    small = text.replace(
        "FIRST, LAST, STEP = 8 << 20, 48 << 20, 8 << 20", f"FIRST, LAST, STEP = {FIRST}, {LAST}, {STEP}"
    )
    assert small != text
    code.write_text(small)
    if not _makes_holes(machine.home):
        pytest.skip("this file system makes no holes in files")
    return connection


def _makes_holes(folder: Path) -> bool:
    probe = folder / "probe"
    probe.write_bytes(b"x" * 65536)
    with probe.open("r+b") as file:
        try:
            log._punch(file.fileno(), 0, 4096)
        except OSError:
            return False
    return True


def holes(lines: list[str], log: str) -> int:
    """How many holes the lines show; all else must be the log's, in order, with nothing lost or twice."""
    count = place = 0
    shown: list[str] = []
    for line in [*lines, None]:
        hole = MISSING.fullmatch(line or "")
        if line is None or hole:
            until = int(hole[1]) if hole else len(log)
            # Where it begins in the middle of a line, a newline of its own stands before it.
            assert "\n".join(shown).strip() in (log[place:until].strip(), log[place : until - 1].strip())
            count, place, shown = count + bool(hole), int(hole[2]) if hole else 0, []
        elif not line.startswith("[gpu-box] "):  # the link broke in the middle of such a line
            shown.append(line)
    return count


def numbers(most: int) -> str:
    return "".join(f"{number}\n" for number in range(1, most + 1))


def test_of_a_long_log_the_beginning_and_the_end_are_kept(box: Connection, machine: OpenSshMachine) -> None:
    jobs.start(box, "loud", "seq 1 1000000; exit 3")
    lines: list[str] = []
    while not (machine.home / ".gpu-box/jobs/loud/exit").exists():
        time.sleep(0.1)
    assert follow_lines(box.host, "loud", lines.append) == 3
    assert holes(lines, numbers(1_000_000)) == 1
    assert len(lines) > 10_000
    kept = (machine.home / ".gpu-box/jobs/loud/log").stat().st_blocks * 512
    assert kept < FIRST + LAST + STEP + (64 << 10)


def test_following_resumes_after_a_hole_and_a_broken_connection(
    box: Connection, machine: OpenSshMachine
) -> None:
    slowly = "for i in $(seq 300 399); do seq $((i * 1000 + 1)) $((i * 1000 + 1000)); sleep 0.04; done"
    jobs.start(box, "count", f"seq 1 300000; {slowly}")
    while not (machine.home / ".gpu-box/jobs/count/cut").exists():
        time.sleep(0.05)
    cutters = [threading.Timer(after, machine.cut_connections) for after in (1.0, 2.0)]
    for cutter in cutters:
        cutter.start()
    lines: list[str] = []
    lost: list[str] = []
    assert follow_lines(box.host, "count", lines.append, on_lost=lost.append) == 0
    assert holes(lines, numbers(400_000)) >= 1
    assert lost
    for cutter in cutters:
        cutter.join()


def test_a_job_that_is_started_again_has_a_whole_log(box: Connection) -> None:
    for command in ("seq 1 200000", "echo anew"):
        jobs.start(box, "again", command)
        lines: list[str] = []
        assert follow_lines(box.host, "again", lines.append) == 0
    assert lines == ["anew"]


def pieces(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_place_in_the_log_is_right_behind_a_hole(size: int) -> None:
    place = jobs._Place()
    sent = b"12345\n" + log._missing(6, 5_000_000) + b"x" * 300 + b"\nabc"
    for piece in pieces(sent, size):
        place.take(piece)
    assert place.at == 5_000_000 + 304


def test_a_line_that_only_looks_like_a_hole_is_a_line() -> None:
    place = jobs._Place()
    line = b"copied: " + log._missing(0, 10**12) + log._missing(7, 10**12)
    place.take(line)
    assert place.at == len(line)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> on_box.Job:
    monkeypatch.setattr(on_box, "JOBS", tmp_path)
    for name, value in (("FIRST", FIRST), ("LAST", LAST), ("STEP", STEP)):
        monkeypatch.setattr(log, name, value)
    (tmp_path / "x").mkdir()
    return on_box.Job("x")


def everything(job: on_box.Job) -> bytes:
    found, at = b"", 0
    with job.log.open("rb") as file:
        while True:
            piece, at = log.read(job, file.fileno(), at, 1000)
            if not piece:
                return found
            found += piece


def test_where_the_file_system_makes_no_holes_the_log_stays_whole(
    job: on_box.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(log, "_punch", refuse)
    text = b"line\n" * 200_000
    job.log.write_bytes(text)
    with pytest.raises(OSError):
        log.bound(job)
    assert everything(job) == text


@pytest.mark.parametrize("text", [b"x" * 2_000_000, b"\n" * 2_000_000, os.urandom(2_000_000)])
def test_output_without_lines_is_bounded_too(job: on_box.Job, text: bytes) -> None:
    job.log.write_bytes(text)
    if not _makes_holes(job.folder):
        pytest.skip("this file system makes no holes in files")
    log.bound(job)
    found = everything(job)
    first, last = (int(word) for word in job.read("cut").split())
    assert found.startswith(text[:first]) and found.endswith(text[last:])
    assert len(found) < FIRST + LAST + 70_000
    assert job.log.stat().st_size == len(text)
