"""A spot box that AWS takes back in the middle of a training: the installed command, a real SSH machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from ..user import COMMAND, CONFIG, User
from .saves import REASON, SAVES


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    folder, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("home")
    (folder / "config.yaml").write_text(f"{CONFIG}market: spot\n")
    (folder / "count.py").write_text(SAVES)
    one = User(folder, {**os.environ, "GPU_BOX_HOME": str(home)})
    yield one
    subprocess.run([COMMAND, "local", "stop"], env=one.environment, check=True, capture_output=True)


def test_a_training_that_aws_interrupts_goes_on_with_the_next_up_and_nothing_is_left(user: User) -> None:
    assert user.json("up")["resumed"] == []
    user.run("ssh", "--", "cd .gpu-box/remote && python3 -m watch policy notice=0.2 interval=1")
    user.run("run", "--detach", "--", "python", "count.py")

    user.weather(spot_capacity={"*": {"*": 0}}, spot_notice_s=12)
    stopped = user.wait_for("stopped")["stopped"]
    assert (stopped["layer"], stopped["reason"]) == ("AWS", REASON)
    assert stopped["signals"], "with the figures of its last moment"

    user.weather(spot_capacity={})
    assert f": {REASON}" in user.run("why").stdout
    assert user.json("status")["state"] == "stopped", "there is capacity, but no `up`"

    said = user.run("up").stdout
    assert REASON in said
    assert "resumed after AWS's interruption: count" in said
    user.run("ssh", "--", "touch work/results/enough")
    first, reported, kept, again, resumed = user.run("logs", "count").stdout.splitlines()
    assert (first, kept) == ("begun at 0", "kept")
    assert "SIGTERM" in reported
    assert "started again" in again
    assert int(resumed.removeprefix("resumed at ")) > 0

    assert user.json("down", "--yes")["left"] == [], "no spot request either"
