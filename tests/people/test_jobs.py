"""The jobs of a box: list, cancel, complete."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from .. import schema
from ..user import COMMAND
from .conftest import Desk


def test_jobs_are_listed_cancelled_and_their_names_completed(desk: Desk) -> None:
    assert "No job has run on this box yet; `gpu-box run -- CMD` starts one." in desk.run("jobs").stdout
    assert desk.json("jobs") == []
    desk.run("run", "--detach", "--job", "night", "--", "sleep 600")
    desk.run("run", "--job", "fails", "--", "exit 3", expect=3)
    table = [line.split() for line in desk.run("jobs").stdout.splitlines()]
    assert table[0] == ["JOB", "STATE", "EXIT", "STARTED", "TOOK", "GPU"]
    assert {row[0]: row[1:2] for row in table[1:]} == {"night": ["running"], "fails": ["failed"]}
    assert "is cancelled" in desk.run("cancel", "night").stdout
    assert desk.json("cancel", "night") == {"job": "night", "was": "cancelled", "exit_status": 143, "left": 0}
    assert {one["name"]: one["state"] for one in desk.json("jobs")} == {
        "night": "cancelled",
        "fails": "failed",
    }
    missing = desk.run("cancel", "nigth", expect=2).stderr
    assert missing.splitlines() == ["error: there is no job nigth; jobs: fails, night"]
    assert completed(desk, "cancel", "n") == ["night"]
    assert set(completed(desk, "logs", "")) == {"night", "fails"}


def completed(desk: Desk, *words: str) -> list[str]:
    """The words that bash is offered."""
    typed = {"COMP_WORDS": " ".join(["gpu-box", *words]), "COMP_CWORD": str(len(words))}
    environment = {**os.environ, **desk.environment, **typed, "_GPU_BOX_COMPLETE": "complete_bash"}
    done = subprocess.run([COMMAND], env=environment, cwd=desk.folder, capture_output=True, text=True)
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def test_a_sweep_runs_through_the_queue(desk: Desk) -> None:
    """docs/jobs.md"""
    environment = desk.home / ".gpu-box/venv/bin"
    environment.mkdir(parents=True)
    (environment / "python").symlink_to(sys.executable)
    desk.work.joinpath("train.py").write_text(
        "import sys, time\nprint('rate', sys.argv[2])\nwhile sys.argv[2] == '0.1': time.sleep(0.1)\n"
    )
    run = ("run", "--queue", "--detach")
    assert "Job train runs on the box" in desk.run(*run, "--", "python", "train.py", "--lr", "0.1").stdout
    said = desk.run(*run, "--", "python", "train.py", "--lr", "0.01").stdout
    assert "Job train-2 waits in the queue behind train; `gpu-box logs train-2` follows its log." in said
    said = desk.run(*run, "--then", "stop", "--", "python", "train.py", "--lr", "0.001").stdout
    assert "Job train-3 waits in the queue behind train, train-2;" in said
    assert "The box stops itself when no job runs or waits." in said
    table = [line.split() for line in desk.run("jobs").stdout.splitlines()]
    assert [row[:2] for row in table[-3:]] == [
        ["train", "running"], ["train-2", "waiting"], ["train-3", "waiting"]
    ]  # fmt: skip
    seen = [(one["name"], one["state"]) for one in desk.json("status")["jobs"]]
    assert seen[-3:] == [("train", "running"), ("train-2", "waiting"), ("train-3", "waiting")]
    assert "2 in the queue: train-2, train-3" in desk.run("status").stdout
    assert "rate 0.1" in desk.run("logs", "--no-follow", "train").stdout
    desk.run("cancel", "train")
    assert desk.run("logs", "train-3").stdout == "rate 0.001\n"
    assert [one["state"] for one in desk.json("jobs")[-2:]] == ["done", "done"]
    stop = desk.home / ".gpu-box/jobs/.stop"
    deadline = time.monotonic() + 60
    while not stop.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "train-3 ended with exit status 0, the last job (--then stop)" in stop.read_text()
    # A plain run sees this, and the stop waits for it.
    desk.run("run", "--detach", "--", "python train.py --lr 0.1")
    assert not stop.exists()
    desk.run("cancel", "train")


_WRONG: list[tuple[list[str], str]] = [
    (["--gpus", "2", "--", "true"], "--gpus is for jobs of the queue"),
    (["--queue", "--gpus", "0", "--", "true"], "--gpus: 0 is out of range: 1 or more"),
    (["--queue", "--gpus", "4", "--", "true"], "this box has no GPU, and --gpus asks for 4"),
    (["--queue", "--then", "down", "--", "true"], "the jobs that wait in its queue"),
    (["--detach", "--then", "down", "--", "true"], "Use --then stop, which the box does by itself"),
    (
        ["--queue", "--job", "-x", "--", "true"],
        "cannot be a job's name: begin with a letter (A-Z) or digit;",
    ),
    (["--job", "a" * 65, "--", "true"], "a job's name has at most 64 characters; this one has 65"),
    (["--pull", "../x", "--", "true"], "--pull: it leads out of ~/work"),
    (["--pull", "/etc/passwd", "--", "true"], "--pull: it leads out of ~/work"),
    (["--pull", "**", "--", "true"], "--pull: it matches everything"),
    (["--pull", "a.pt", "b.pt", "--", "true"], "your shell has expanded the pattern"),
]


def test_a_wrong_request_is_one_line_and_starts_nothing(desk: Desk) -> None:
    before = desk.json("jobs")
    for words, why in _WRONG:
        said = desk.run("run", *words, expect=2).stderr
        assert why in " ".join(said.split()), words
    assert desk.json("jobs") == before


def test_files_of_pull_arrive_while_the_job_is_followed_and_otherwise_at_the_next_pull(desk: Desk) -> None:
    """As docs/jobs.md says."""
    makes = "mkdir -p ckpt; echo 1 >ckpt/{0}.pt; echo 1 >ckpt/{0}.txt"
    desk.run("run", "--job", "seen", "--pull", "ckpt/*.pt", "--", makes.format("seen"))
    assert (desk.folder / "ckpt/seen.pt").read_text() == "1\n"
    desk.run("run", "--job", "unseen", "--detach", "--pull", "~/work/ckpt/*.pt", "--", makes.format("unseen"))
    desk.run("logs", "unseen")
    (desk.folder / "ckpt/unseen.pt").unlink()
    desk.run("pull")
    assert sorted(path.name for path in (desk.folder / "ckpt").iterdir()) == ["seen.pt", "unseen.pt"]


def test_a_stop_after_a_job_has_its_log_in_the_json_and_why_names_the_job(desk: Desk) -> None:
    """The last test here: it stops the box."""
    words = ("--json", "run", "--job", "last", "--then", "stop", "--", "echo seen; exit 3")
    answer = schema.held(["run"], desk.run(*words, expect=3).stdout)
    assert (answer["log"], answer["exit_status"], answer["then"]) == ("seen\n", 3, "stop")
    assert desk.json("why")["stopped"]["reason"].endswith(" after job last ended with exit status 3")
