"""The whole story once, as a user types it: the installed command, a real daemon, a real SSH machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ..account import Account, account_of
from ..user import COMMAND, CONFIG, User


@pytest.fixture(scope="module")
def account(request: pytest.FixtureRequest) -> Account:
    return account_of(request.config)


@pytest.fixture
def embedded(account: Account) -> None:
    if account.real:
        pytest.skip("looks into the embedded cloud")


@pytest.fixture(scope="module")
def user(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    folder, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("home")
    settings = CONFIG.replace("region: us-east-1\n", "") if account.real else CONFIG
    (folder / "config.yaml").write_text(account.config + settings)
    (folder / "train.py").write_text("print('training')\n")
    (folder / "token.secret").write_text("secret\n")
    one = User(folder, {**os.environ, **account.environment(home)})
    if account.real:
        one.cloud, one.patience_s = (), 1800
    yield one
    if account.real:
        one.run("down", "--yes")  # whatever failed: nothing is left to pay for
    else:
        subprocess.run([COMMAND, "local", "stop"], env=one.environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def up(user: User) -> dict[str, Any]:
    """The box, brought up once for this story."""
    reported: dict[str, Any] = user.json("up")
    return reported


def test_all_that_costs_nothing_is_right_before_anything_bills(user: User, account: Account) -> None:
    """`make test-aws` stops here if not: its own checks of the account, within a minute."""
    checks = {check["name"]: check for check in user.json("doctor")}
    assert checks.keys() >= {"credentials", "clock", "launch", "permissions", "deadline", "prices", "quota"}
    assert "DryRun" in checks["permissions"]["line"] and "RunInstances" in checks["permissions"]["line"]
    assert boxes(user, account) == []


def test_plan_shows_what_would_be_made_and_makes_nothing(user: User, account: Account) -> None:
    shown = user.run("plan").stdout
    assert account.type in shown
    assert "an hour running" in shown
    assert "stops itself when idle for 30 min" in shown
    assert boxes(user, account) == []


def boxes(user: User, account: Account) -> list[Any]:
    return [box for box in user.json("ls") if box["box"] == account.name]


def test_up_makes_a_box_that_is_set_up_synced_and_guarded(user: User, up: dict[str, Any]) -> None:
    assert up["changed"] is True
    status = user.json("status")
    assert status["state"] == "running"
    assert status["deadline"]
    assert {step["status"] for step in status["steps"]} <= {"done", "unavailable"}
    assert "answers" in status["jupyter"]


def test_plan_up_status_and_cost_agree_to_the_cent(user: User, up: dict[str, Any]) -> None:
    planned, status, cost = user.json("plan"), user.json("status"), user.json("cost")
    for name, reported in (
        ("usd_hour", (planned, up, status, cost)),
        ("usd_month_stopped", (planned, status, cost)),
    ):
        assert len({one[name] for one in reported}) == 1, name
    for name in ("usd_session", "usd_today", "usd_month"):
        assert abs(float(status[name]) - float(cost[name])) < 0.005, "a look a moment later"
    assert "$" + f"{float(up['usd_hour']):.3f}" in user.run("plan").stdout


def test_status_queries_the_machine_while_waiting_for_aws(user: User, up: dict[str, Any]) -> None:
    user.run("status")  # from which on this laptop knows the way
    reported = replace(user, environment={**user.environment, "PYTHONPROFILEIMPORTTIME": "1"}).run("status")
    assert "answers on the box's port" in reported.stdout
    assert " boto3\n" in reported.stderr
    assert " paramiko\n" not in reported.stderr


def test_up_again_does_nothing(user: User, up: dict[str, Any]) -> None:
    assert user.json("up")["changed"] is False


def test_the_project_is_there_and_its_secrets_are_not(user: User, up: dict[str, Any]) -> None:
    names = user.run("ssh", "--", "ls", "-A", "work").stdout.split()
    assert "train.py" in names
    assert not {"token.secret", "key", "key.pub", "config.yaml"} & set(names)


def test_a_changed_file_travels_with_up(user: User, up: dict[str, Any]) -> None:
    (user.folder / "later.py").write_text("print(1)\n")
    assert user.json("up")["changed"] is True
    assert user.run("ssh", "--", "cat", "work/later.py").stdout == "print(1)\n"


def test_ssh_passes_exit_status_and_standard_output_on(user: User, up: dict[str, Any]) -> None:
    assert user.run("ssh", "--", "echo out; exit 7", expect=7).stdout == "out\n"


def test_a_job_s_log_and_exit_status_come_back(user: User, up: dict[str, Any]) -> None:
    assert user.run("run", "--", "python", "train.py").stdout == "training\n"
    assert user.run("run", "--job", "bad", "--", "sh", "-c", "echo no; exit 3", expect=3).stdout == "no\n"
    assert user.run("logs", "bad", expect=3).stdout == "no\n"
    assert "Jobs: " in user.run("logs", "absent", expect=2).stderr
    job = user.json("run", "--detach", "--", "echo hello")["job"]
    assert user.json("logs", job) == {"job": job, "exit_status": 0, "log": "hello\n"}
    assert user.json("sync")["files"] == 0


def test_a_notebook_runs_as_a_job_and_its_result_comes_home(user: User, up: dict[str, Any]) -> None:
    cell = {"cell_type": "code", "metadata": {}, "source": "print(f'loss {lr}')", "outputs": []}
    cells = {"cells": [{**cell, "execution_count": None}], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    # As docs/notebooks.md says.
    (user.folder / "night.ipynb").write_text(json.dumps(cells))
    user.run("sync")
    assert "loss 0.5\n" in user.run("run", "-p", "lr=0.5", "night.ipynb").stdout
    user.run("pull")
    assert "loss 0.5" in (user.folder / "results" / "night.ipynb").read_text()
    assert "no notebook ~/work/absent.ipynb" in user.run("run", "absent.ipynb", expect=2).stderr
    job = user.json("run", "night.ipynb", "--detach", "--job", "fails")["job"]
    assert "name 'lr' is not defined" in user.run("logs", job, expect=1).stdout


def test_training_on_real_photographs_ends_well_above_chance(user: User, up: dict[str, Any]) -> None:
    user.run("train", "--preset", "demo")
    assert user.json("pull")["files"] > 0
    results = user.folder / "results"
    summary = json.loads((results / "summary.json").read_text())
    assert summary["held_out_accuracy"] >= 0.85  # two classes of equal size
    assert (results / "curves.png").read_bytes().startswith(b"\x89PNG")
    header, *rows = (results / "submission.csv").read_text().splitlines()
    assert header == "id,label"
    assert rows
    assert all(0 < float(row.split(",")[1]) < 1 for row in rows)


def test_a_report_shows_use_cost_and_training(user: User, up: dict[str, Any], account: Account) -> None:
    assert user.json("report", "evening.html")["path"] == "evening.html"
    page = (user.folder / "evening.html").read_text()
    for words in (
        f"{account.name}: running",
        "What it did",
        "verdict",
        "Money a day",
        "Training",
        "held-out accuracy",
    ):
        assert words in page, words


def test_stop_then_up_finds_the_disk_as_it_was(user: User, up: dict[str, Any], account: Account) -> None:
    user.run("ssh", "--", "echo kept >work/kept.txt")
    # A job that fails takes no disk with it, whatever was to follow.
    job = ["--", "sh", "-c", "echo found >results/found.txt; exit 3"]
    ended = user.run("--yes", "run", "--then", "down", *job, expect=3)
    assert "is stopped and its disk kept, not removed: it ended with exit status 3" in ended.stdout
    assert (user.folder / "results" / "found.txt").read_text() == "found\n"
    assert user.json("stop")["state"] == "stopped"
    if not account.real:  # its address may belong to another instance now
        known = Path(user.environment["GPU_BOX_HOME"]) / "ssh" / f"{account.name}.known_hosts"
        assert not known.exists()
    refused = user.run("ssh", "--", "true", expect=1)
    assert "up` starts it" in refused.stderr
    again = user.json("up")
    assert again["instance"] == up["instance"]
    assert user.run("ssh", "--", "cat", "work/kept.txt").stdout == "kept\n"
    assert "answers" in user.json("status")["jupyter"]


def test_resize_keeps_the_disk_and_what_ran_runs_again(
    user: User, up: dict[str, Any], account: Account
) -> None:
    reported = user.json("resize", account.bigger, "--yes")
    assert (reported["state"], reported["before"], reported["type"]) == (
        "running",
        account.type,
        account.bigger,
    )
    assert user.run("ssh", "--", "cat", "work/kept.txt").stdout == "kept\n"
    assert user.json("resize", account.type, "--yes")["type"] == account.type
    assert "Did you mean g5.xlarge?" in user.run("resize", "g5.xlrge", expect=2).stderr


def test_a_box_that_was_removed_comes_back_from_its_image_with_its_disk(
    user: User, up: dict[str, Any], account: Account
) -> None:
    baked = user.json("bake", "--yes")
    assert (baked["state"], baked["image"][:4]) == ("running", "ami-")
    user.run("ssh", "--", "echo later > work/kept.txt")
    assert user.json("status")["images"][0]["id"] == baked["image"]
    gone = user.run("down", "--keep-image", "--yes")
    assert "is left" in gone.stdout and "except its image" in gone.stdout
    assert "from its baked image" in user.run("status").stdout
    assert "from its own disk as of" in user.run("plan").stdout
    user.run("up")
    assert user.run("ssh", "--", "cat", "work/kept.txt").stdout == "kept\n", "as it was when it was baked"


def test_a_stopped_box_moves_with_its_disk_when_its_zone_is_full(
    user: User, up: dict[str, Any], account: Account
) -> None:
    user.run("ssh", "--", "echo moved > work/kept.txt")
    zone = user.json("status")["zone"]
    user.run("stop")
    if not account.real:
        user.weather(capacity={"*": {zone: 0, "*": 4}})
        assert "move` moves the box" in user.run("up", expect=1).stderr
    assert "--yes" in user.run("move", expect=2).stderr
    moved = user.json("move", "--yes")
    assert (moved["before"], moved["state"]) == (zone, "running")
    assert moved["zone"] != zone or account.real
    assert user.run("ssh", "--", "cat", "work/kept.txt").stdout == "moved\n"
    assert [image["kind"] for image in user.json("status")["images"]] == ["baked"]


@pytest.mark.usefixtures("embedded")
def test_a_changed_host_key_is_refused_with_what_it_means(user: User, up: dict[str, Any]) -> None:
    folder = '"$GPU_BOX_SSHD_DIR"'
    user.run("ssh", "--", f"cp -a {folder}/ssh_host_ed25519_key {folder}/saved")
    user.run("ssh", "--", f"rm {folder}/ssh_host_ed25519_key && ssh-keygen -q -t ed25519 -N '' -f "
             f"{folder}/ssh_host_ed25519_key")  # fmt: skip
    refused = user.run("up", expect=1)
    assert "host key" in refused.stderr
    [machine] = (Path(user.environment["GPU_BOX_HOME"]) / "embedded" / "machines").iterdir()
    (machine / "home" / ".sshd" / "saved").replace(machine / "home" / ".sshd" / "ssh_host_ed25519_key")
    user.run("up")


@pytest.mark.usefixtures("embedded")
def test_keep_and_extend_show_the_maximum_cost(user: User, up: dict[str, Any]) -> None:
    user.run("up")
    before = datetime.fromisoformat(user.json("status")["deadline"])
    kept = user.run("keep", "3h").stdout
    assert "Idle stop is off for 3 h" in kept
    assert "$1.63 at most" in kept
    assert "comes first" in user.run("keep", "2d").stdout
    extended = user.run("extend", "2h").stdout
    assert "$1.08 more at most" in extended
    status = user.json("status")
    assert datetime.fromisoformat(status["deadline"]) == before + timedelta(hours=2)
    assert status["watch"]["deadline"] == status["deadline"]
    assert user.json("up")["changed"] is False  # which leaves it where it was moved to
    assert "Idle stop is on again" in user.run("keep", "--off").stdout
    assert user.json("keep", "1h")["until"] is not None
    assert user.json("keep", "--off")["until"] is None
    assert user.json("extend", "1h")["in_aws"] is True
    for wrong in (["keep"], ["keep", "soon"], ["keep", "3h", "--off"], ["extend", "-1h"], ["extend", "31d"]):
        assert user.run(*wrong, expect=2).stderr.count("\n") == 1


@pytest.mark.usefixtures("embedded")
def test_an_idle_box_stops_itself_and_says_why_ever_after(user: User, up: dict[str, Any]) -> None:
    awake = user.json("why")
    assert awake["state"] == "running"
    assert {name for name, _ in awake["changes"][-1]["signals"]} >= {"gpu", "cpu", "ssh", "jupyter", "job"}
    # The test cannot wait for half an hour; the machine shares its host's CPU with other tests.
    impatient = (
        "idle_after=3 settle=0 interval=0.5 window=1 slow=1 cpu_cores=1e6 network_bps=1e12 disk_bps=1e12"
    )
    user.run("ssh", "--", f"cd .gpu-box/remote && python3 -m watch policy {impatient}")
    reported = user.wait_for("stopped")["stopped"]
    assert reported["layer"] == "watcher"
    assert reported["reason"].startswith("idle")
    why = user.run("why").stdout
    assert "by the watcher: idle" in why
    assert "  gpu " in why
    again = user.run("up").stdout
    assert "last stop: " in again
    assert "by the watcher: idle" in again
    assert user.json("why")["stopped"]["reason"] == reported["reason"]


def test_down_asks_and_then_leaves_nothing(
    user: User, up: dict[str, Any], account: Account, record_property: Callable[[str, object], None]
) -> None:
    status = user.json("status")
    cost = "an unknown price" if status["usd_month"] is None else f"${float(status['usd_month']):.2f}"
    record_property("cost", f"the story cost {cost}, its disk included")
    assert "--yes" in user.run("down", expect=2).stderr
    assert user.json("down", "--yes") == {"box": account.name, "state": "none", "left": []}
    assert boxes(user, account) == []
    assert user.json("status")["state"] == "none"
    if not account.real:
        machines = Path(user.environment["GPU_BOX_HOME"]) / "embedded" / "machines"
        give_up = time.monotonic() + 120  # its disk has many files, and nothing bills for it
        while left := list(machines.iterdir()):
            assert time.monotonic() < give_up, left
            time.sleep(0.5)


def test_a_sweep_of_all_regions_finds_nothing_of_it(user: User, account: Account) -> None:
    swept = user.json("sweep")
    assert [one for one in swept["found"] if one["box"] == account.name] == []


@pytest.mark.usefixtures("embedded")
def test_local_env_serves_any_aws_client(user: User) -> None:
    printed = subprocess.run(
        [COMMAND, "local", "env"], env=user.environment, capture_output=True, text=True, check=True
    ).stdout
    script = (
        f"{printed}\n{sys.executable} -c 'import boto3; "
        'print(boto3.client("ec2").describe_instances()["ResponseMetadata"]["HTTPStatusCode"])\''
    )
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=user.environment)
    assert done.stdout == "200\n", done.stderr
