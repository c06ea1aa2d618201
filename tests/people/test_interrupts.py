"""Ctrl-C in any command: what is left, and what to type."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gpu_box.box import work
from gpu_box.cli import main as cli
from gpu_box.config import read

from .. import schema
from ..user import COMMAND
from .conftest import Desk


def interrupt(*_: object, **__: object) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "command", ["up", "stop", "down", "resize", "bake", "move", "sync", "pull", "run", "jupyter", "tunnel"]
)
def test_ctrl_c_says_what_is_left_and_what_to_type(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_run", interrupt)
    assert cli.main(["--local", command]) == 130
    said = capsys.readouterr().err.strip()
    assert said.startswith("interrupted: ")
    assert f"gpu-box {command if command != 'run' else 'logs'}" in said


def test_ctrl_c_within_a_command_is_a_line_and_no_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(read, "load", interrupt)
    assert cli.main(["status"]) == 130
    assert capsys.readouterr() == ("", "\ninterrupted: run the same command again to continue\n")


def test_ctrl_c_with_json_is_an_error_in_json_and_the_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(read, "load", interrupt)
    assert cli.main(["--json", "status"]) == 130
    out, err = capsys.readouterr()
    error = schema.held(["status"], out, failed=True)["error"]
    assert (error["kind"], error["exit_code"], error["job"]) == ("Interrupted", 130, None)
    assert error["what"] == err.strip() == "interrupted: run the same command again to continue"


def test_ctrl_c_does_not_wait_for_an_aws_that_never_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {
            **os.environ,
            "GPU_BOX_HOME": str(tmp_path / "data"),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        silent.settimeout(60)
        with subprocess.Popen(
            [COMMAND, "status"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        ) as command:
            try:
                with silent.accept()[0]:
                    time.sleep(0.5)  # so that it waits for the answer
                    command.send_signal(signal.SIGINT)
                    said = command.communicate(timeout=20)[1]
            finally:
                command.kill()
    assert (command.returncode, said) == (130, "\ninterrupted: run the same command again to continue\n")


def test_ctrl_c_before_the_first_import_is_a_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gpu_box import __main__ as entry

    monkeypatch.setattr(cli, "main", interrupt)
    monkeypatch.setattr("os._exit", lambda status: None)  # a thread of an earlier test may still wait here
    monkeypatch.setattr("sys.argv", ["gpu-box", "--json", "down"])
    assert entry.main() == 130
    said = capsys.readouterr()
    assert json.loads(said.out)["error"]["kind"] == "Interrupted"
    assert "`gpu-box down` again removes the rest" in said.err


def test_ctrl_c_within_a_callback_of_the_interpreter_is_not_lost(tmp_path: Path) -> None:
    # Importing a module calls such callbacks a thousand times in each command's first second.
    code = """
import signal, sys, time, weakref
from gpu_box import __main__ as entry
from gpu_box.cli import main as cli

class Thing: pass

def command():
    thing = Thing()
    kept = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    del thing
    time.sleep(20)
    return 0

cli.main = command
sys.argv = ["gpu-box", "status"]
raise SystemExit(entry.main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (
        130,
        "\ninterrupted: run the same command again to continue\n",
    )


def test_ctrl_c_does_not_end_a_command_that_a_script_has_put_into_the_background(tmp_path: Path) -> None:
    code = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell without job control does
from gpu_box.__main__ import main
from gpu_box.cli import main as cli
cli._run = lambda words: signal.raise_signal(signal.SIGINT) or print("went on") or 0
sys.argv = ["gpu-box", "status"]
raise SystemExit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice, as timeout does"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_ctrl_c_or_a_kill_while_a_job_is_followed_names_it_and_its_log_once(
    desk: Desk, number: signal.Signals, code: int, times: int
) -> None:
    with desk.started("run", "--job", "night", "--", "echo begun; sleep 600") as command:
        assert command.out.readline() == b"begun\n"
        for _ in range(times):
            command.process.send_signal(number)
        status, said = command.end()
    assert status == code
    assert said == (
        "\ninterrupted: job night goes on. `gpu-box logs night` follows its log. The box stops when idle.\n"
    )
    desk.run("cancel", "night")


@pytest.mark.parametrize(
    ("then", "box"),
    [((), "The box stops when idle."), (("--then", "stop"), "The box will not be stopped")],
)
def test_ctrl_c_with_json_names_the_job_that_goes_on(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    then: tuple[str, ...],
    box: str,
) -> None:
    monkeypatch.chdir(desk.folder)
    monkeypatch.setattr(work, "follow", interrupt)
    assert cli.main(["--json", "run", "--job", "late", *then, "--", "sleep 600"]) == 130
    said = capsys.readouterr()
    error = schema.held(["run"], said.out, failed=True)["error"]
    assert (error["job"], error["what"]) == ("late", "interrupted: job late goes on")
    assert "`gpu-box logs late` follows its log" in error["remedy"] and box in error["remedy"]
    assert "job late goes on" in said.err
    desk.run("cancel", "late")


@pytest.mark.parametrize(
    ("during", "words", "lines"),
    [
        ("finish", ("--then", "stop"), ("`gpu-box status` shows the box.", "will not be stopped")),
        ("pull_matching", ("--pull", "*.pt"), ("`gpu-box pull` copies what --pull has not.",)),
    ],
)
def test_ctrl_c_after_the_job_s_end_does_not_say_that_it_goes_on(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    during: str,
    words: tuple[str, ...],
    lines: tuple[str, ...],
) -> None:
    monkeypatch.chdir(desk.folder)
    monkeypatch.setattr(work, during, interrupt)
    assert cli.main(["run", "--job", during, *words, "--", "true"]) == 130
    said = capsys.readouterr().err
    assert f"interrupted: job {during} has ended. {lines[0]}" in said
    assert all(line in said for line in lines) and "goes on" not in said


def test_a_job_that_ends_with_130_is_no_ctrl_c(desk: Desk) -> None:
    said = desk.run("run", "--job", "own", "--", "exit 130", expect=130).stderr
    assert "ended with exit status 130" in said and "interrupted" not in said
