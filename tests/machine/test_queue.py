"""The queue of jobs, and the stop that `--then stop` asks for: without a laptop, killed at any moment."""

from __future__ import annotations

import importlib
import json
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.errors import InputError
from gpu_box.machine import jobs
from gpu_box.machine.files import upload_remote
from gpu_box.machine.ssh.connection import Connection
from gpu_box.model.job import JobState, Queue
from setup.processes import birth_of
from tests.following import follow_lines
from tests.paths import REMOTE

LATER = "GPU_BOX_BORN=2 "  # as after the machine was off


@pytest.fixture
def box(machine: OpenSshMachine, connection: Connection) -> Connection:
    upload_remote.upload(connection, REMOTE)
    (machine.home / "work").mkdir()
    return connection


@pytest.fixture
def folder(machine: OpenSshMachine) -> Path:
    return machine.home / ".gpu-box/jobs"


def add(box: Connection, name: str, command: str, **more: Any) -> tuple[str, tuple[str, ...]]:
    return jobs.start(box, name, command, queue=Queue(), **more)


def ask(box: Connection, *words: str, before: str = "", **said: Any) -> Any:
    """Our code on the box, with variables before it."""
    line = f"cd ~/.gpu-box/remote && {before} python3 -m jobs {' '.join(words)}"
    stdout = box.run(line, stdin=json.dumps(said).encode(), check=False).stdout
    return json.loads(stdout) if stdout.strip() else None


def wait_until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return value


def states(box: Connection) -> dict[str, str]:
    return {job.name: job.state for job in jobs.list_jobs(box)}


def ended(box: Connection, *names: str) -> dict[str, JobState]:
    def look() -> dict[str, JobState] | None:
        found = {job.name: job for job in jobs.list_jobs(box)}
        return found if all(found[name].exit_status is not None for name in names) else None

    found: dict[str, JobState] = wait_until(look)
    return found


GO = "until [ -e ~/work/go ]; do sleep 0.05; done"


def go(machine: OpenSshMachine) -> None:
    (machine.home / "work/go").touch()


def says(name: str, meanwhile: str = "sleep 0.3") -> str:
    return f"echo {name} begins >>order; {meanwhile}; echo {name} ends >>order"


def test_jobs_of_the_queue_run_one_after_another_in_their_order(
    box: Connection, machine: OpenSshMachine
) -> None:
    assert add(box, "a", says("a", GO)) == ("a", ())
    assert add(box, "b", says("b") + "; exit 3") == ("b", ("a",))
    assert add(box, "c", says("c")) == ("c", ("a", "b"))
    assert states(box) == {"a": "running", "b": "waiting", "c": "waiting"}
    assert [job.name for job in jobs.list_jobs(box)] == ["a", "b", "c"]
    go(machine)
    lines: list[str] = []
    assert follow_lines(box.host, "c", lines.append) == 0, "it waits for its turn, too"
    assert (machine.home / "work/order").read_text().split("\n")[:-1] == [
        f"{name} {what}" for name in "abc" for what in ("begins", "ends")
    ]
    assert states(box) == {"a": "done", "b": "failed", "c": "done"}


def test_a_job_beside_the_queue_runs_at_once(box: Connection) -> None:
    add(box, "a", "sleep 60")
    add(box, "b", "true")
    jobs.start(box, "beside", "true")
    assert ended(box, "beside")["b"].state == "waiting"


def test_a_name_that_is_taken_is_refused_or_numbered(box: Connection) -> None:
    add(box, "train", "sleep 60")
    add(box, "next", "true")
    for name, why in (("train", "job train is running since"), ("next", "job next waits in the queue")):
        with pytest.raises(InputError, match=why) as raised:
            add(box, name, "true")
        assert "gpu-box run --job NAME" in str(raised.value)
    numbered = [jobs.start(box, "train", "true", queue=Queue(number=True))[0] for _ in range(2)]
    assert numbered == ["train-2", "train-3"]


def test_a_cancelled_job_leaves_the_queue_and_the_next_one_runs(box: Connection) -> None:
    for name in "abc":
        add(box, name, "sleep 60" if name == "a" else "true")
    assert jobs.cancel(box, "b").was == "waiting"
    assert jobs.cancel(box, "a").was == "running"
    found = ended(box, "c")
    assert {name: job.state for name, job in found.items()} == {
        "a": "cancelled", "b": "cancelled", "c": "done"
    }  # fmt: skip
    assert found["b"].started is None and follow_lines(box.host, "b", print) == 143


@pytest.fixture
def cards(machine: OpenSshMachine) -> str:
    """Words before a command that give the machine two GPUs."""
    smi = machine.home / "bin/nvidia-smi"
    smi.parent.mkdir()
    smi.write_text('#!/bin/sh\n[ "$1" != -L ] || printf "GPU 0: T4 (UUID: a)\\nGPU 1: T4 (UUID: b)\\n"\n')
    smi.chmod(0o755)
    return 'PATH="$HOME/bin:$PATH"'


def test_each_job_has_a_gpu_of_its_own_and_none_is_overtaken(
    box: Connection, machine: OpenSshMachine, cards: str
) -> None:
    for name, gpus in (("a", 1), ("b", 1), ("both", 2), ("c", 1)):
        line = says(f"{name} $CUDA_VISIBLE_DEVICES", f"{GO}; sleep 0.5")
        ask(box, "start", before=cards, name=name, command=line, cwd="~/work", queued=True, gpus=gpus)
    assert states(box) == {"a": "running", "b": "running", "both": "waiting", "c": "waiting"}
    go(machine)
    assert ended(box, "both", "c")["both"].gpus == (0, 1)
    order = (machine.home / "work/order").read_text().splitlines()
    assert sorted(order[:2]) == ["a 0 begins", "b 1 begins"]
    assert order[4:] == ["both 0,1 begins", "both 0,1 ends", "c 0 begins", "c 0 ends"]


def test_those_behind_a_cancelled_job_that_needs_more_gpus_run_at_once(box: Connection, cards: str) -> None:
    for name, command, gpus in (("a", "sleep 60", 1), ("wide", "true", 2), ("b", "true", 1)):
        ask(box, "start", before=cards, name=name, command=command, cwd="~", queued=True, gpus=gpus)
    assert states(box) == {"a": "running", "wide": "waiting", "b": "waiting"}
    ask(box, "cancel", "wide", before=cards)
    assert ended(box, "b")["a"].state == "running"


def test_more_gpus_than_the_box_has_are_refused(box: Connection, cards: str) -> None:
    with pytest.raises(InputError, match="this box has no GPU, and --gpus asks for 2"):
        jobs.start(box, "x", "true", queue=Queue(gpus=2))
    line = f"cd ~/.gpu-box/remote && {cards} python3 -m jobs start"
    asked = {"name": "x", "command": "true", "cwd": "~", "queued": True, "gpus": 3}
    said = box.run(line, stdin=json.dumps(asked).encode(), check=False)
    assert said.exit_status == 3 and "this box has 2 GPUs, and --gpus asks for 3" in said.said
    assert jobs.list_jobs(box) == []


def test_a_job_that_lost_its_gpus_waits_until_they_are_back(
    box: Connection, machine: OpenSshMachine, cards: str
) -> None:
    ask(box, "start", before=cards, name="a", command="sleep 60", cwd="~", queued=True, gpus=2)
    ask(box, "start", before=cards, name="b", command="true", cwd="~", queued=True, gpus=2)
    kill(machine, "a")
    ask(box, "advance")
    assert states(box) == {"a": "failed", "b": "waiting"}
    ask(box, "advance")
    said = (machine.home / ".gpu-box/jobs/b/log").read_text()
    assert said.count("it waits: it needs 2 GPUs, and this box has 0.") == 1
    ask(box, "advance", before=cards)
    assert ended(box, "b")["b"].exit_status == 0


def kill(machine: OpenSshMachine, name: str) -> None:
    """As when the machine is switched off."""
    for what in ("supervisor", "pid"):
        os.kill(number(machine, name, what), signal.SIGKILL)


def number(machine: OpenSshMachine, name: str, what: str) -> int:
    return int((machine.home / ".gpu-box/jobs" / name / what).read_text().split()[0])


def test_the_queue_goes_on_after_a_reboot(box: Connection, machine: OpenSshMachine) -> None:
    add(box, "a", "sleep 60")
    add(box, "b", says("b"))
    add(box, "c", says("c"))
    kill(machine, "a")
    assert states(box) == {"a": "failed", "b": "waiting", "c": "waiting"}
    ask(box, "advance", before=LATER)
    assert ended(box, "b", "c")["c"].exit_status == 0
    assert (machine.home / "work/order").read_text().splitlines()[::2] == ["b begins", "c begins"]


@pytest.mark.parametrize("first", ["supervisor", "pid"])
def test_no_job_begins_in_the_place_of_one_that_a_shutdown_ends(
    box: Connection, machine: OpenSshMachine, first: str
) -> None:
    add(box, "a", "sleep 60")
    add(box, "b", "true")
    numbers = {what: number(machine, "a", what) for what in ("supervisor", "pid")}
    os.kill(numbers[first], signal.SIGTERM)
    assert ended(box, "a")["a"].exit_status == 143
    wait_until(lambda: birth_of(numbers["supervisor"]) is None)
    assert states(box)["b"] == "waiting"
    ask(box, "advance", before=LATER)
    assert ended(box, "b")["b"].exit_status == 0


def test_the_queue_stands_still_while_the_machine_goes_down(box: Connection, machine: OpenSshMachine) -> None:
    add(box, "a", "sleep 60")
    add(box, "b", "true")
    ask(box, "end", "5")
    assert ended(box, "a")["a"].exit_status == 143
    ask(box, "advance")
    assert states(box)["b"] == "waiting"
    ask(box, "advance", before=LATER)
    assert ended(box, "b")


def test_what_aws_interrupted_goes_first_once_up_resumes_it(box: Connection, machine: OpenSshMachine) -> None:
    jobs.start(box, "a", "echo begun; sleep 60", queue=Queue(), again=says("a"))
    add(box, "b", says("b"))
    ask(box, "interrupt", f"{time.time():.0f}")
    assert ended(box, "a")["a"].state == "interrupted"
    ask(box, "advance", before=LATER)
    assert states(box) == {"a": "interrupted", "b": "waiting"}
    launched = datetime.now(UTC) + timedelta(seconds=5)
    assert ask(box, "resume", f"{launched.timestamp():.0f}", before=LATER) == [{"name": "a", "problem": ""}]
    ended(box, "a", "b")
    assert (machine.home / "work/order").read_text().split()[::4] == ["a", "b"]


def test_the_stop_is_due_when_the_last_job_has_ended_whichever_it_is(
    box: Connection, machine: OpenSshMachine, folder: Path
) -> None:
    add(box, "a", "true", then_stop=True)
    jobs.start(box, "beside", GO)
    add(box, "b", "exit 4")
    ended(box, "a", "b")
    assert not (folder / ".stop").exists(), "a job beside the queue still runs"
    go(machine)
    wait_until((folder / ".stop").exists)
    assert (
        (folder / ".stop")
        .read_text()
        .endswith(" beside ended with exit status 0, the last job (--then stop)")
    )
    (machine.home / "work/go").unlink()
    add(box, "more", GO)
    assert not (folder / ".stop").exists()
    go(machine)
    wait_until((folder / ".stop").exists)
    assert " more ended" in (folder / ".stop").read_text()


def test_a_cancelled_job_asks_for_no_stop(box: Connection, folder: Path) -> None:
    add(box, "a", "sleep 60", then_stop=True)
    jobs.cancel(box, "a")
    wait_until(lambda: not (folder / "a/supervisor").exists() or states(box)["a"] == "cancelled")
    ask(box, "advance")
    assert not list(folder.glob(".[st][th]*"))


def test_a_cancelled_job_leaves_the_stop_that_another_asks_for(box: Connection, folder: Path) -> None:
    """The box went on billing until it was idle."""
    add(box, "a", "sleep 60", then_stop=True)
    add(box, "b", "true", then_stop=True)
    add(box, "c", "true")
    jobs.cancel(box, "b")
    ended(box, "b")
    jobs.cancel(box, "a")
    wait_until(lambda: states(box)["c"] == "done")
    assert not list(folder.glob(".[st][th]*")), "both are withdrawn"
    add(box, "a", "true", then_stop=True)
    add(box, "b", "sleep 60", then_stop=True)
    jobs.cancel(box, "b")
    wait_until((folder / ".stop").exists)


def test_no_stop_is_due_while_a_daemon_of_an_ended_job_runs(box: Connection, folder: Path) -> None:
    """It was, so that the box stopped under the training that a script had put into the background."""
    add(box, "a", "setsid sh -c 'sleep 60; echo' >/dev/null 2>&1 & echo $! >pid", then_stop=True)
    add(box, "b", "true")
    ended(box, "a", "b")
    ask(box, "advance")
    assert not (folder / ".stop").exists() and (folder / ".then").exists()
    jobs.cancel(box, "a")  # it ends the daemon
    wait_until(lambda: (ask(box, "advance"), (folder / ".stop").exists())[1])


def test_a_stop_asked_for_before_the_machine_was_off_waits_for_jobs_and_is_dropped_without_them(
    box: Connection, machine: OpenSshMachine, folder: Path
) -> None:
    add(box, "a", "sleep 60", then_stop=True)
    add(box, "b", "sleep 60")
    kill(machine, "a")
    ask(box, "advance", before=LATER)
    assert states(box)["b"] == "running" and (folder / ".then").exists()
    kill(machine, "b")
    ask(box, "advance", before="GPU_BOX_BORN=3 ")
    assert not (folder / ".then").exists() and not (folder / ".stop").exists()


def test_the_notice_of_an_ended_job_says_how_many_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.job.JOBS", tmp_path)
    for name, turn in (("a", ""), ("b", "1"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "command").write_text("true")
        (tmp_path / name / "turn").write_text(turn)
    job = importlib.import_module("jobs.job").Job("a")
    ending = importlib.import_module("jobs.supervise")._ending
    assert ending(job, 3, 90.0) == "a: exit status 3 after 90 s; 2 more wait in the queue"
    jobs_b = tmp_path / "b" / "exit"
    jobs_b.write_text("0")
    job.write("cancelled", "1")
    assert ending(job, 143, 90.0) == "a: cancelled after 90 s; 1 more waits in the queue"
