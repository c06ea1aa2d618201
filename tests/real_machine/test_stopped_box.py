"""A whole box on a real machine: every layer is armed, and the box reports which one stopped it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from testbed import control
from testbed.leash import leashed

from gpu_box.aws import deadline
from gpu_box.aws.client import Cloud
from gpu_box.config.model import Config

from ..docs.blocks import written
from ..people.saves import REASON, SAVES
from ..user import COMMAND, CONFIG, User
from .conftest import new_home

pytestmark = pytest.mark.machine

SIGNALS = {"gpu", "cpu", "disk", "network", "ssh", "jupyter", "job", "keep"}


@pytest.fixture(scope="module")
def user(nspawn: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    folder, home = tmp_path_factory.mktemp("project"), new_home()
    (folder / "config.yaml").write_text(f"{CONFIG}market: spot\n")  # as on demand, and AWS may take it back
    (folder / "count.py").write_text(SAVES)
    one = User(folder, {**os.environ, "GPU_BOX_HOME": str(home)})
    with leashed(home):
        yield one
        one.run("down", "--yes")


@pytest.fixture(scope="module")
def up(user: User) -> dict[str, Any]:
    reported: dict[str, Any] = user.json("up")
    return reported


class Terminal:
    """An 80x24 terminal in which `gpu-box WORD` was typed and left open."""

    def __init__(self, user: User, word: str) -> None:
        self._user, self._word = user, word
        self.seen = b""

    def __enter__(self) -> Terminal:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._process = subprocess.Popen(
            [COMMAND, "--local", self._word],
            cwd=self._user.folder, env={**self._user.environment, "TERM": "xterm"},
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(60)
        self._reader.join(60)
        os.close(self._master)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while data := os.read(self._master, 4096):
                self.seen += data


@pytest.fixture
def aws(user: User, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The same account, as another program of the user's sees it."""
    printed = subprocess.run(
        [COMMAND, "local", "env"], env=user.environment, capture_output=True, text=True, check=True
    ).stdout
    for line in printed.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        monkeypatch.setenv(name, value.strip("'\""))
    return Cloud(Config())


def test_up_arms_every_layer(user: User, up: dict[str, Any]) -> None:
    status = user.json("status")
    assert {layer["name"]: layer["armed"] for layer in status["watch"]["layers"]} == {
        "fuse": True,
        "watcher": True,
        "guard": True,
    }
    assert status["deadline"] == status["watch"]["deadline"]
    assert "fuse, watcher, guard, deadline (AWS stops it" in user.run("status").stdout


def test_scratch_is_prepared_at_each_boot(user: User, up: dict[str, Any]) -> None:
    """By a unit of its own; this machine has no NVMe, so it is a folder of the disk."""
    box = ("ssh", "--")
    assert user.run(*box, "systemctl is-enabled gpu-box-scratch && test -w ~/scratch").stdout == "enabled\n"
    result = user.run(*box, "systemctl show -p Result,ActiveState --value gpu-box-scratch").stdout.split()
    assert result == ["success", "active"]
    user.run(*box, "rmdir ~/scratch && sudo systemctl restart gpu-box-scratch && test -w ~/scratch")
    assert user.run(*box, "cat /run/gpu-box/scratch.json").stdout == '{"mount": "", "why": "", "devices": 0}'


def test_the_page_s_commands_work_on_the_box(user: User, up: dict[str, Any]) -> None:
    [block] = [found for found in written()["docs/stopping.md"] if found.language == "console"]
    for command in block.commands:
        assert command.on_box
        assert user.run("ssh", "--", command.text).stdout, command.text


def test_an_idle_box_stops_and_status_shows_why(user: User, up: dict[str, Any]) -> None:
    # Half a minute for a look that sees it coming: each takes seconds where other tests work, too.
    policy = "idle_after=30s settle=45 warn=13s,6s interval=1 window=3 slow=1 gpu_window=3"
    user.run("ssh", "--", f"gpu-box-watch policy {policy}")
    with Terminal(user, "ssh") as shell, Terminal(user, "tmux") as tmux:
        warned = user.wait_for_notices()
        status = user.wait_for("stopped")
    # Both were left open and did not keep it up, but showed the warning in time.
    assert "`gpu-box keep 2h` delays that" in warned[0]
    for seen in (shell.seen, tmux.seen):
        assert b"this machine stops in" in seen
        assert b"gpu-box keep 2h" in seen
    stopped = status["stopped"]
    assert stopped["layer"] == "watcher"
    assert stopped["reason"].startswith("idle")
    assert {name for name, _ in stopped["signals"]} == SIGNALS
    assert stopped["at"] > status["since"]
    assert "by the watcher: idle" in user.run("why").stdout


def test_nothing_but_up_starts_it(user: User, up: dict[str, Any]) -> None:
    for words in (["ssh", "--", "true"], ["tunnel", "8888"], ["jupyter", "--no-browser"], ["keep", "1h"],
                  ["extend", "1h"], ["sync"], ["logs"]):  # fmt: skip
        assert "up` starts it" in user.run(*words, expect=1).stderr
    assert user.json("status")["state"] == "stopped"


def test_up_shows_why_the_box_stopped(user: User, up: dict[str, Any]) -> None:
    said = user.run("up").stdout
    assert "last stop: " in said
    assert "by the watcher: idle" in said
    assert user.json("why")["stopped"]["layer"] == "watcher"


def test_the_deadline_stops_an_unreachable_box(user: User, up: dict[str, Any], aws: Cloud) -> None:
    # What systemd runs at the next boot, and so now, watches with thresholds that never come.
    user.run("ssh", "--", "gpu-box-watch policy idle_after=1d settle=300")
    _post(user, "/embedded/network", {"instance": up["instance"], "cut": True})
    assert user.run("ssh", "--", "true", expect=255).stdout == ""
    role = deadline.read_role(aws)[0]
    assert role is not None
    at = datetime.now(UTC) + timedelta(seconds=3)
    deadline.arm(aws, instance_id=up["instance"], at=at, role_arn=role)
    stopped = user.wait_for("stopped")["stopped"]
    assert stopped["layer"] == "deadline"
    assert {name for name, _ in stopped["signals"]} == SIGNALS  # of its last moment, in its own words


def test_a_manual_stop_keeps_the_figures(user: User, up: dict[str, Any]) -> None:
    user.run("up")
    user.run("stop")
    stopped = user.json("status")["stopped"]
    assert stopped["layer"] == "command"
    assert {name for name, _ in stopped["signals"]} == SIGNALS
    assert "stopped" in user.run("why").stdout


def test_an_interrupted_spot_box_signals_jobs_stops_and_resumes_with_up(
    user: User, up: dict[str, Any]
) -> None:
    user.run("up")
    user.run("run", "--detach", "--", "python", "count.py")
    user.weather(spot_capacity={"*": {"*": 0}}, spot_notice_s=20)
    stopped = user.wait_for("stopped")["stopped"]
    assert (stopped["layer"], stopped["reason"]) == ("AWS", REASON)
    user.weather(spot_capacity={})
    assert user.json("up")["resumed"] == ["count"]
    user.run("ssh", "--", "touch work/results/enough")
    lines = user.run("logs", "count").stdout.splitlines()
    assert (lines[0], lines[2], lines[-1][:10]) == ("begun at 0", "kept", "resumed at")


def _post(user: User, path: str, what: dict[str, Any]) -> None:
    assert control.ask(Path(user.environment["GPU_BOX_HOME"]), "POST", path, what)[0] == 200
