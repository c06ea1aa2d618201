from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine, free_port

from gpu_box.errors import InputError, MachineError, MachineUnreachable
from gpu_box.machine import jobs
from gpu_box.machine.files import upload_remote
from gpu_box.machine.ssh.connection import Connection, connect
from tests.paths import REMOTE

from .. import needs
from .conftest import host_of


@pytest.fixture
def box(machine: OpenSshMachine, connection: Connection) -> Connection:
    """A machine with our code and ~/work; no Python environment."""
    upload_remote.upload(connection, REMOTE)
    (machine.home / "work").mkdir()
    return connection


def follow(connection: Connection, name: str) -> tuple[int, list[str]]:
    lines: list[str] = []
    return jobs.follow(connection.host, name, lines.append), lines


def state(connection: Connection, name: str) -> jobs.JobState:
    return next(job for job in jobs.list_jobs(connection) if job.name == name)


def test_a_job_runs_in_work_and_its_log_and_exit_status_come_back(
    box: Connection, machine: OpenSshMachine
) -> None:
    jobs.start(box, "first", "pwd; echo to stderr >&2; echo 'tail without end' | tr -d '\\n'; exit 5")
    status, lines = follow(box, "first")
    assert status == 5
    assert lines == [str(machine.home / "work"), "to stderr", "tail without end"]
    assert state(box, "first").exit_status == 5


def test_a_job_sees_the_environment_of_the_box(box: Connection, machine: OpenSshMachine) -> None:
    jobs.start(box, "env", 'echo "${PATH%%:*}"; echo $PYTHONUNBUFFERED $VIRTUAL_ENV $GPU_BOX_JOB')
    venv = machine.home / ".gpu-box/venv"
    assert follow(box, "env")[1] == [f"{venv}/bin", f"1 {venv} env"]


def test_a_job_outlives_the_connection_that_started_it(machine: OpenSshMachine, box: Connection) -> None:
    jobs.start(box, "long", "sleep 4; echo done")
    machine.cut_connections()
    with connect(host_of(machine)) as other:
        assert state(other, "long").running
        assert follow(other, "long") == (0, ["done"])


def test_following_goes_on_at_the_byte_where_the_link_broke(machine: OpenSshMachine, box: Connection) -> None:
    jobs.start(box, "count", "for i in $(seq 1 300); do echo line $i é; sleep 0.01; done")
    lost: list[str] = []
    cutters = [threading.Timer(after, machine.cut_connections) for after in (0.8, 1.8)]
    for cutter in cutters:
        cutter.start()
    lines: list[str] = []
    assert jobs.follow(box.host, "count", lines.append, on_lost=lost.append) == 0
    assert lines == [f"line {i} é" for i in range(1, 301)]
    assert len(lost) >= 1
    for cutter in cutters:
        cutter.join()


def test_following_a_box_that_is_gone_ends_after_its_patience(
    machine: OpenSshMachine, box: Connection
) -> None:
    nowhere = replace(box.host, port=free_port())
    with pytest.raises(MachineUnreachable):
        jobs.follow(nowhere, "x", lambda line: None, patience_s=0.2)


def test_megabytes_of_log_arrive_whole(box: Connection) -> None:
    jobs.start(box, "loud", "seq 1 400000")
    status, lines = follow(box, "loud")
    assert status == 0
    assert lines == [str(i) for i in range(1, 400_001)]


def test_a_second_job_of_that_name_is_refused_while_the_first_runs(box: Connection) -> None:
    jobs.start(box, "train", "sleep 30")
    with pytest.raises(InputError, match=r"job train is running since .*gpu-box logs train"):
        jobs.start(box, "train", "echo second")
    jobs.start(box, "other", "true")
    jobs.stop(box, "train")
    jobs.start(box, "train", "echo again")
    assert follow(box, "train") == (0, ["again"])


def test_a_stopped_job_takes_its_children_with_it(box: Connection) -> None:
    jobs.start(box, "family", "sleep 97.531 & sleep 97.531; wait")
    assert jobs.stop(box, "family") == 128 + signal.SIGTERM
    assert jobs.stop(box, "family") == 128 + signal.SIGTERM
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 97.531" not in listed


@pytest.mark.parametrize("victim", ["pid", "both"])
def test_the_end_of_a_killed_job_is_recorded(box: Connection, machine: OpenSshMachine, victim: str) -> None:
    jobs.start(box, "killed", "sleep 60")
    folder = machine.home / ".gpu-box/jobs/killed"
    pids = [int((folder / "pid").read_text())]
    if victim == "both":  # as when the box is stopped under it
        pids.append(int((folder / "supervisor").read_text().split()[0]))
    for pid in reversed(pids):
        os.kill(pid, signal.SIGKILL)
    status, lines = follow(box, "killed")
    assert status == 128 + 9
    assert any("ended unseen" in line for line in lines) == (victim == "both")
    assert not state(box, "killed").running


def test_a_job_whose_supervisor_was_killed_goes_on(box: Connection, machine: OpenSshMachine) -> None:
    jobs.start(box, "orphan", "sleep 1; echo still here")
    pid = (machine.home / ".gpu-box/jobs/orphan/supervisor").read_text().split()[0]
    os.kill(int(pid), signal.SIGKILL)
    assert state(box, "orphan").running
    assert follow(box, "orphan")[1][0] == "still here"


@needs.programs("tmux")
def test_jobs_have_a_tmux_window_each(box: Connection) -> None:
    jobs.start(box, "v1.2", "echo hello from the job; sleep 20")
    deadline = time.monotonic() + 5
    shown = ""
    while "hello from the job" not in shown and time.monotonic() < deadline:
        shown = box.run("tmux capture-pane -p -t =job-v1_2:").stdout
    assert "hello from the job" in shown
    box.run("tmux send-keys -t =job-v1_2: C-c")
    assert follow(box, "v1.2")[0] == 128 + signal.SIGINT


def test_without_tmux_jobs_run_all_the_same(machine: OpenSshMachine, box: Connection, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for program in ("bash", "sh", "sleep", "cat"):
        (tools / program).symlink_to(shutil.which(program) or "")
    (tools / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    box.run(
        f"cd ~/.gpu-box/remote && PATH={tools} python3 -m jobs start",
        stdin=b'{"name": "bare", "command": "sleep 0.5; echo bare", "cwd": "~/work"}',
    )
    assert follow(box, "bare") == (0, ["bare"])


def test_mistakes_are_one_clear_line(box: Connection) -> None:
    with pytest.raises(InputError, match="cannot be a job's name"):
        jobs.start(box, "../etc", "true")
    with pytest.raises(InputError, match="no folder ~/nowhere on the box"):
        jobs.start(box, "x", "true", cwd="~/nowhere")
    jobs.start(box, "there", "nonexistent-program")
    status, lines = follow(box, "there")
    assert status == 127 and "not found" in lines[0]
    with pytest.raises(InputError, match="there is no job missing; there are: there"):
        follow(box, "missing")


def test_a_box_that_is_not_set_up_says_so(connection: Connection) -> None:
    with pytest.raises(MachineError, match="not set up yet"):
        jobs.list_jobs(connection)


def test_nothing_keeps_running_for_a_follower_that_left(machine: OpenSshMachine, box: Connection) -> None:
    jobs.start(box, "quiet", "sleep 30")
    with connect(host_of(machine)) as other, pytest.raises(MachineError, match="did not finish"):
        other.run("cd ~/.gpu-box/remote && exec python3 -m jobs follow quiet 0", timeout_s=0.5)
    deadline = time.monotonic() + 5
    while "jobs follow quiet" in (listed := everything()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "jobs follow quiet" not in listed


def everything() -> str:
    return subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True, check=True).stdout


SAVES = """\
python3 -c '
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("saved", flush=True), sys.exit(%d)))
print("at work", flush=True)
time.sleep(60)
'"""


def interrupt(connection: Connection) -> None:
    connection.run(f"cd ~/.gpu-box/remote && python3 -m jobs interrupt {time.time():.0f}")


def resume(connection: Connection, *, launched_in_s: float = 5.0) -> dict[str, str]:
    return jobs.resume(connection, launched=datetime.now(UTC) + timedelta(seconds=launched_in_s))


def at_work(connection: Connection, machine: OpenSshMachine, name: str) -> None:
    log = machine.home / ".gpu-box/jobs" / name / "log"
    deadline = time.monotonic() + 60
    while "at work" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_interrupted_job_may_save_and_goes_on_at_the_next_start_with_its_log(
    box: Connection, machine: OpenSshMachine
) -> None:
    jobs.start(box, "train", "exec " + SAVES % 143, again="echo resumed=$GPU_BOX_RESUMED")
    at_work(box, machine, "train")
    interrupt(box)
    assert follow(box, "train")[0] == 143
    assert resume(box, launched_in_s=-3600) == {}, "the machine has not been off since"
    assert resume(box) == {"train": ""}
    status, lines = follow(box, "train")
    assert status == 0
    assert [line for line in lines if not line.startswith("[gpu-box]")] == ["at work", "saved", "resumed=1"]
    assert resume(box) == {}, "once for each interruption"


def test_a_job_that_the_machine_took_with_it_goes_on_too(box: Connection, machine: OpenSshMachine) -> None:
    jobs.start(box, "deaf", "trap '' TERM; echo at work; while :; do sleep 0.1; done", again="echo once more")
    at_work(box, machine, "deaf")
    interrupt(box)
    folder = machine.home / ".gpu-box/jobs/deaf"
    for what in ("supervisor", "pid"):
        os.kill(int((folder / what).read_text().split()[0]), signal.SIGKILL)
    assert resume(box) == {"deaf": ""}
    assert follow(box, "deaf")[1][-1] == "once more"


def test_what_was_done_stopped_or_failed_does_not_go_on(box: Connection, machine: OpenSshMachine) -> None:
    jobs.start(box, "failed", "exit 3")
    follow(box, "failed")
    jobs.start(box, "stopped-before", "echo at work; sleep 60")
    jobs.stop(box, "stopped-before")
    for name, status in (("done", 0), ("stopped-after", 143)):
        jobs.start(box, name, "exec " + SAVES % status)
        at_work(box, machine, name)
    interrupt(box)
    assert follow(box, "done")[0] == 0
    jobs.stop(box, "stopped-after")
    assert resume(box) == {}


def test_a_job_without_its_folder_is_told_of_and_nothing_else_suffers(
    box: Connection, machine: OpenSshMachine
) -> None:
    (machine.home / "work/gone").mkdir()
    for name, folder in (("a", "~/work/gone"), ("b", "~/work")):
        jobs.start(box, name, "exec " + SAVES % 1, cwd=folder, again="true")
        at_work(box, machine, name)
    interrupt(box)
    assert [follow(box, name)[0] for name in ("a", "b")] == [1, 1]
    (machine.home / "work/gone").rmdir()
    told = resume(box)
    assert told["b"] == ""
    assert "no folder" in told["a"]


def spoil(folder: Path, what: str, how: str) -> None:
    folder.mkdir(parents=True)
    (folder / "command").write_text("true\n")
    (folder / "started").write_text("2026-11-01T00:00:00Z\n")
    if how == "fifo":
        os.mkfifo(folder / what)
    elif how == "folder":
        (folder / what).mkdir()
    else:
        (folder / what).write_text(how)


@pytest.mark.parametrize(
    ("what", "how"),
    [("exit", "[1"), ("exit", "9" * 5000), ("exit", "fifo"), ("exit", "folder"), ("log", "fifo"),
     ("log", "folder"), ("pid", "²"), ("pid", "9" * 5000), ("started", "long ago"), ("started", "x\x1b"),
     ("birth", "fifo"), ("command", "\x1b]0;pwned\x07")],
)  # fmt: skip
def test_one_spoilt_job_folder_hides_no_other_job(
    box: Connection, machine: OpenSshMachine, what: str, how: str
) -> None:
    jobs.start(box, "good", "exit 0")
    assert follow(box, "good")[0] == 0
    spoil(machine.home / ".gpu-box/jobs/bad", what, how)
    if what == "pid":
        (machine.home / ".gpu-box/jobs/bad/birth").write_text("x")
    found = {job.name: job for job in jobs.list_jobs(box)}
    assert found["good"].exit_status == 0
    if what != "started":
        assert found["bad"].exit_status == 137 and "\x1b" not in found["bad"].command
    assert jobs.resume(box, launched=datetime.now(UTC)) == {}
    jobs.start(box, "good", "exit 7")
    assert follow(box, "good")[0] == 7


def test_the_log_of_a_spoilt_job_is_one_clear_line(box: Connection, machine: OpenSshMachine) -> None:
    spoil(machine.home / ".gpu-box/jobs/bad", "log", "fifo")
    with pytest.raises(InputError, match="job bad has no log"):
        follow(box, "bad")


@pytest.mark.parametrize("said", ["{}", "3", "", "[" * 100_000, "null"])
def test_a_list_of_jobs_that_makes_no_sense_is_one_clear_line(
    box: Connection, machine: OpenSshMachine, said: str
) -> None:
    main = (machine.home / ".gpu-box/remote").resolve() / "jobs/__main__.py"
    main.write_text(f"print({said!r})")
    with pytest.raises(MachineError, match="jobs list: the box's answer makes no sense"):
        jobs.list_jobs(box)
    main.write_text('print(\'[3, null, {}, {"name": "a", "started": 1e300}]\')')
    assert jobs.list_jobs(box) == []
