from __future__ import annotations

import importlib
import json
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
from testbed.cloud import wait_until
from testbed.openssh import OpenSshMachine, free_port

from gpu_box.errors import InputError, MachineError, MachineUnreachable
from gpu_box.machine import jobs
from gpu_box.machine.files import upload_remote
from gpu_box.machine.ssh.connection import Connection, connect
from gpu_box.model.job import JobState
from tests.following import follow_lines
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
    return follow_lines(connection.host, name, lines.append), lines


def state(connection: Connection, name: str) -> JobState:
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


def test_a_job_has_its_temporary_files_on_the_local_nvme_where_there_is_one(
    box: Connection, machine: OpenSshMachine
) -> None:
    print_it = 'echo "${TMPDIR-none}"'
    (machine.home / "scratch" / "tmp").mkdir(parents=True)
    jobs.start(box, "disk", print_it)
    assert follow(box, "disk")[1] == ["none"]
    (machine.home / "scratch").rename(machine.home / "nvme")
    (machine.home / "scratch").symlink_to(machine.home / "nvme")
    jobs.start(box, "nvme", print_it)
    assert follow(box, "nvme")[1] == [f"{machine.home}/scratch/tmp"]


def test_a_job_outlives_the_connection_that_started_it(machine: OpenSshMachine, box: Connection) -> None:
    jobs.start(box, "long", "sleep 4; echo done")
    machine.cut_connections()
    with connect(host_of(machine)) as other:
        assert state(other, "long").running
        assert follow(other, "long") == (0, ["done"])


def test_following_resumes_at_the_byte_of_a_broken_connection(
    machine: OpenSshMachine, box: Connection
) -> None:
    jobs.start(box, "count", "for i in $(seq 1 300); do echo line $i é; sleep 0.01; done")
    lost: list[str] = []
    cutters = [threading.Timer(after, machine.cut_connections) for after in (0.8, 1.8)]
    for cutter in cutters:
        cutter.start()
    lines: list[str] = []
    assert follow_lines(box.host, "count", lines.append, on_lost=lost.append) == 0
    assert lines == [f"line {i} é" for i in range(1, 301)]
    assert len(lost) >= 1
    for cutter in cutters:
        cutter.join()


def test_following_a_box_that_is_gone_ends_after_its_patience(
    machine: OpenSshMachine, box: Connection
) -> None:
    nowhere = replace(box.host, port=free_port())
    with pytest.raises(MachineUnreachable):
        follow_lines(nowhere, "x", lambda line: None, patience_s=0.2)


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
    jobs.cancel(box, "train")
    jobs.start(box, "train", "echo again")
    assert follow(box, "train") == (0, ["again"])


def test_a_stopped_job_takes_its_children_with_it(box: Connection) -> None:
    jobs.start(box, "family", "sleep 97.531 & sleep 97.531; wait")
    assert jobs.cancel(box, "family").exit_status == 128 + signal.SIGTERM
    assert jobs.cancel(box, "family").exit_status == 128 + signal.SIGTERM
    assert "sleep 97.531" not in everything()


def test_cancel_ends_what_left_the_process_group_and_what_ignores_a_sigterm(box: Connection) -> None:
    jobs.start(box, "family", "setsid sleep 96.531 & trap '' TERM; sleep 95.531; sleep 94.531; wait")
    done = jobs.cancel(box, "family")
    assert (done.was, done.exit_status, done.left) == ("running", 128 + signal.SIGKILL, 0)
    assert not [each for each in ("96.531", "95.531", "94.531") if f"sleep {each}" in everything()]
    assert state(box, "family").state == "cancelled"


def test_the_children_of_a_cancelled_job_have_time_to_save_although_its_shell_ends_at_once(
    box: Connection, machine: OpenSshMachine
) -> None:
    child = "python3 -c 'import signal, sys, time\n"
    child += 'def save(*_): time.sleep(0.7); open("saved", "w"); sys.exit()\n'
    child += 'signal.signal(signal.SIGTERM, save); print("at work", flush=True); time.sleep(60)\''
    jobs.start(box, "parent", f"{child} & wait")
    at_work(box, machine, "parent")
    jobs.cancel(box, "parent")
    assert (machine.home / "work/saved").exists()


def test_a_job_that_has_ended_stays_as_it_ended_when_it_is_cancelled(box: Connection) -> None:
    jobs.start(box, "failed", "exit 3")
    follow(box, "failed")
    done = jobs.cancel(box, "failed")
    assert (done.was, done.exit_status) == ("failed", 3)
    assert state(box, "failed").state == "failed"
    with pytest.raises(InputError, match="there is no job other; jobs: failed"):
        jobs.cancel(box, "other")


def test_a_job_that_daemonises_ends_its_log_says_so_and_cancel_ends_the_daemon(box: Connection) -> None:
    jobs.start(box, "daemon", "setsid sleep 93.531 </dev/null >/dev/null 2>&1 & echo begun")
    status, lines = follow(box, "daemon")
    assert (status, lines[0]) == (0, "begun")
    assert "processes that it started still run" in lines[1] and "`gpu-box cancel daemon` ends" in lines[1]
    assert jobs.cancel(box, "daemon").was == "done"
    assert "sleep 93.531" not in everything()


def test_a_job_of_the_same_name_on_another_machine_of_this_computer_lives_on(box: Connection) -> None:
    theirs = {**os.environ, "GPU_BOX_JOB": "train", "GPU_BOX_SAVE": "/another/.gpu-box/jobs/train/save"}
    with subprocess.Popen(["sleep", "60"], env=theirs) as other:
        jobs.start(box, "train", "echo trained")
        assert follow(box, "train") == (0, ["trained"])
        jobs.cancel(box, "train")
        assert other.poll() is None
        other.kill()


def test_jobs_are_listed_with_state_times_and_the_gpus_that_they_use(
    box: Connection, machine: OpenSshMachine
) -> None:
    for name, command in (("good", "sleep 1.2"), ("bad", "exit 4"), ("busy", "echo at work; sleep 60")):
        jobs.start(box, name, command)
        if name != "busy":
            follow(box, name)
    at_work(box, machine, "busy")
    pid = (machine.home / ".gpu-box/jobs/busy/pid").read_text().strip()
    smi = machine.home / "bin/nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(
        f"#!/bin/sh\ncase $1 in pmon) echo '    1  {pid}  C  97  1 python';; "
        "*) echo '0, 0, GPU-a'; echo '1, 97, GPU-b';; esac\n"
    )
    smi.chmod(0o755)
    said = box.run('cd ~/.gpu-box/remote && PATH="$HOME/bin:$PATH" python3 -m jobs list gpus').stdout
    assert {each["name"]: each["gpus"] for each in json.loads(said)} == {"good": [], "bad": [], "busy": [1]}
    found = {one.name: one for one in jobs.list_jobs(box)}
    states = {name: one.state for name, one in found.items()}
    assert states == {"good": "done", "bad": "failed", "busy": "running"}
    took = found["good"].took
    assert took is not None and took >= timedelta(seconds=1) and found["busy"].ended is None


def test_a_job_that_is_being_started_is_not_taken_for_one_that_has_ended(
    box: Connection, machine: OpenSshMachine
) -> None:
    ended: list[str] = []
    over = threading.Event()

    def look() -> None:
        with connect(host_of(machine)) as other:
            while not over.is_set():
                ended.extend(one.name for one in jobs.list_jobs(other) if one.exit_status is not None)

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(6):
        jobs.start(box, f"job{number}", "sleep 60")
    over.set()
    looking.join()
    assert ended == []


def test_a_job_that_was_given_up_does_not_start_later(box: Connection, machine: OpenSshMachine) -> None:
    """On a slow disk it did, as a job that had failed: the box could stop under it."""
    code = (machine.home / ".gpu-box/remote").resolve() / "jobs"
    for name, old, new in (
        ("start.py", "_STARTS_WITHIN_S = 30.0", "_STARTS_WITHIN_S = 0.2"),
        ("supervise.py", "    job = Job(name)\n", "    time.sleep(3)\n    job = Job(name)\n"),
    ):
        text = (code / name).read_text()
        assert old in text
        (code / name).write_text(text.replace(old, new))
    with pytest.raises(InputError, match="job late does not start"):
        jobs.start(box, "late", "touch ran; sleep 60")
    time.sleep(5)
    assert state(box, "late").state == "failed"
    assert not (machine.home / "work/ran").exists()


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("    os.environ.update(_session(job))\n", id="before it has given its number"),
        pytest.param('    shell = shutil.which("bash")', id="after that"),
    ],
)
def test_a_supervisor_that_is_killed_before_its_command_runs_blocks_no_other_job(
    box: Connection, machine: OpenSshMachine, before: str
) -> None:
    """The start waited for ever and held the lock of the queue: no job could start or be cancelled."""
    code = (machine.home / ".gpu-box/remote").resolve() / "jobs"
    killed = "    if job.name == 'lost': os.kill(os.getpid(), signal.SIGKILL)\n"
    for name, old, new in (
        ("start.py", "_STARTS_WITHIN_S = 30.0", "_STARTS_WITHIN_S = 2.0"),
        ("start.py", "_BEGINS_WITHIN_S = 15.0", "_BEGINS_WITHIN_S = 1.0"),
        ("supervise.py", before, killed + before),
    ):
        text = (code / name).read_text()
        assert old in text
        (code / name).write_text(text.replace(old, new))
    with pytest.raises(InputError, match="job lost does not start"):
        jobs.start(box, "lost", "touch ran")
    assert state(box, "lost").state == "failed"
    jobs.start(box, "next", "true")
    assert not (machine.home / "work/ran").exists()


def test_a_job_whose_start_ends_while_it_is_looked_at_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine; it was recorded as killed while it ran."""
    monkeypatch.syspath_prepend(str(REMOTE))
    job = importlib.import_module("jobs.job").Job("a")
    birth = importlib.import_module("setup.processes").birth_of(os.getpid())
    found = iter(["1 of the process that has started it and ended", f"{os.getpid()} {birth}"])
    monkeypatch.setattr(job, "read", lambda what: next(found) if what == "supervisor" else "")
    assert job.alive()


def test_an_older_copy_of_our_code_on_the_box_lists_and_says_how_to_update(
    box: Connection, machine: OpenSshMachine
) -> None:
    main = (machine.home / ".gpu-box/remote").resolve() / "jobs/__main__.py"
    old = [{"name": "a", "command": "true", "started": "2026-11-01T00:00:00Z", "exit_status": 1}]
    main.write_text(
        f"import sys\nif sys.argv[1] == 'list': print({json.dumps(old)!r})\n"
        "else: sys.exit([print('usage: python3 -m jobs start|list', file=sys.stderr), 3][1])"
    )
    assert [(one.name, one.state, one.took) for one in jobs.list_jobs(box)] == [("a", "failed", None)]
    with pytest.raises(MachineError, match="older version of gpu-box") as raised:
        jobs.cancel(box, "a")
    assert "gpu-box up" in (raised.value.remedy or "")


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
    assert any("was killed, or the box stopped" in line for line in lines) == (victim == "both")
    assert not state(box, "killed").running


def test_a_job_whose_supervisor_was_killed_goes_on(box: Connection, machine: OpenSshMachine) -> None:
    jobs.start(box, "orphan", "sleep 4; echo still here")
    pid = (machine.home / ".gpu-box/jobs/orphan/supervisor").read_text().split()[0]
    os.kill(int(pid), signal.SIGKILL)
    assert state(box, "orphan").running
    assert follow(box, "orphan")[1][0] == "still here"


@needs.programs("tmux")
def test_jobs_have_a_tmux_window_each(box: Connection) -> None:
    jobs.start(box, "v1.2", "echo hello from the job; sleep 600")
    wait_until(lambda: "hello from the job" in box.run("tmux capture-pane -p -t =job-v1_2:").stdout)
    box.run("tmux send-keys -t =job-v1_2: C-c")
    assert follow(box, "v1.2")[0] == 128 + signal.SIGINT


@needs.programs("tmux")
def test_a_job_can_save_when_its_window_is_closed_as_by_a_shutdown(box: Connection) -> None:
    jobs.start(box, "train", "trap 'echo saved; exit 0' TERM; echo at work; while :; do sleep 0.1; done")
    wait_until(lambda: "at work" in box.run("tmux capture-pane -p -t =job-train:").stdout)
    box.run("tmux kill-session -t =job-train")
    status, lines = follow(box, "train")
    assert (status, lines[0], lines[-1]) == (0, "at work", "saved")


def test_jobs_run_without_tmux(machine: OpenSshMachine, box: Connection, tmp_path: Path) -> None:
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


def test_a_mistake_is_one_clear_line(box: Connection) -> None:
    with pytest.raises(InputError, match="cannot be a job's name"):
        jobs.start(box, "../etc", "true")
    with pytest.raises(InputError, match="no folder ~/nowhere on the box"):
        jobs.start(box, "x", "true", cwd="~/nowhere")
    jobs.start(box, "there", "nonexistent-program")
    status, lines = follow(box, "there")
    assert status == 127 and "not found" in lines[0]
    with pytest.raises(InputError, match="there is no job missing; jobs: there"):
        follow(box, "missing")


def test_a_box_that_is_not_set_up_says_so(connection: Connection) -> None:
    with pytest.raises(MachineError, match="not set up yet"):
        jobs.list_jobs(connection)


def test_nothing_keeps_running_for_a_follower_that_left(machine: OpenSshMachine, box: Connection) -> None:
    jobs.start(box, "quiet", "sleep 600")
    with connect(host_of(machine)) as other, pytest.raises(MachineError, match="did not finish"):
        other.run("cd ~/.gpu-box/remote && exec python3 -m jobs follow quiet 0", timeout_s=0.5)
    wait_until(lambda: "jobs follow quiet" not in everything())


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


def test_an_interrupted_job_can_save_and_resumes_with_its_log(
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


def test_a_job_on_a_spot_machine_at_risk_finds_its_file_changed_and_goes_on(
    box: Connection, machine: OpenSshMachine
) -> None:
    waits = 'echo at work; until [ -s "$GPU_BOX_SAVE" ]; do sleep 0.05; done; echo saved; cat "$GPU_BOX_SAVE"'
    jobs.start(box, "careful", waits)
    at_work(box, machine, "careful")
    box.run("cd ~/.gpu-box/remote && python3 -m jobs risk 1764400000")
    status, lines = follow(box, "careful")
    assert status == 0
    assert [line for line in lines if not line.startswith("[gpu-box]")] == ["at work", "saved", "1764400000"]


def test_torchrun_gets_the_two_minutes_that_a_spot_notice_leaves(box: Connection) -> None:
    jobs.start(box, "asks", "echo $TORCH_ELASTIC_SHUTDOWN_TIMEOUT")
    assert follow(box, "asks")[1] == ["120"]


def test_a_job_that_the_machine_took_with_it_goes_on_too(box: Connection, machine: OpenSshMachine) -> None:
    jobs.start(box, "deaf", "trap '' TERM; echo at work; while :; do sleep 0.1; done", again="echo once more")
    at_work(box, machine, "deaf")
    interrupt(box)
    folder = machine.home / ".gpu-box/jobs/deaf"
    for what in ("supervisor", "pid"):
        os.kill(int((folder / what).read_text().split()[0]), signal.SIGKILL)
    assert resume(box) == {"deaf": ""}
    assert follow(box, "deaf")[1][-1] == "once more"


def test_finished_stopped_and_failed_jobs_do_not_resume(box: Connection, machine: OpenSshMachine) -> None:
    jobs.start(box, "failed", "exit 3")
    follow(box, "failed")
    jobs.start(box, "stopped-before", "echo at work; sleep 60")
    jobs.cancel(box, "stopped-before")
    for name, status in (("done", 0), ("stopped-after", 143)):
        jobs.start(box, name, "exec " + SAVES % status)
        at_work(box, machine, name)
    interrupt(box)
    assert follow(box, "done")[0] == 0
    jobs.cancel(box, "stopped-after")
    assert resume(box) == {}


def test_a_job_without_its_folder_is_reported_and_others_resume(
    box: Connection, machine: OpenSshMachine
) -> None:
    (machine.home / "work/gone").mkdir()
    for name, folder in (("a", "~/work/gone"), ("b", "~/work")):
        jobs.start(box, name, "exec " + SAVES % 1, cwd=folder, again="true")
        at_work(box, machine, name)
    interrupt(box)
    assert [follow(box, name)[0] for name in ("a", "b")] == [1, 1]
    (machine.home / "work/gone").rmdir()
    reported = resume(box)
    assert reported["b"] == ""
    assert "no folder" in reported["a"]


def test_a_job_that_does_not_start_again_is_reported_and_others_resume(
    box: Connection, machine: OpenSshMachine
) -> None:
    for name in ("a", "b"):
        jobs.start(box, name, "exec " + SAVES % 1, again="true")
        at_work(box, machine, name)
    interrupt(box)
    assert [follow(box, name)[0] for name in ("a", "b")] == [1, 1]
    code = (machine.home / ".gpu-box/remote").resolve() / "jobs/start.py"
    late, at_once = "if late > 0 and", "if (job.name == 'a' or late > 0) and"
    assert late in code.read_text()
    code.write_text(code.read_text().replace(late, at_once))
    reported = resume(box)
    assert reported["b"] == ""
    assert "job a does not start" in reported["a"]


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
    with pytest.raises(MachineError, match="jobs list: invalid answer from the box"):
        jobs.list_jobs(box)
    main.write_text('print(\'[3, null, {}, {"name": "a", "started": 1e300}]\')')
    assert jobs.list_jobs(box) == []
