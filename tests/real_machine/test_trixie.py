"""A whole box on a newer systemd than the other stories have: set up, and stopped by its watcher.

bookworm has systemd 252 and trixie 257; Ubuntu 24.04, which gpu-box launches, has 255. `.ci/run` runs more
stories there, and this one, which `make test` leaves out: its image takes minutes to build.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed.leash import leashed

from ..user import CONFIG, User
from .conftest import new_home

pytestmark = [pytest.mark.machine, pytest.mark.timeout(900)]

SUITE = "trixie"


@pytest.fixture
def user(nspawn: None, tmp_path: Path) -> Iterator[User]:
    (tmp_path / "config.yaml").write_text(CONFIG)
    home = new_home()
    one = User(tmp_path, {**os.environ, "GPU_BOX_HOME": str(home)})
    with leashed(home):
        yield one
        one.run("down", "--yes")


def test_a_box_is_set_up_armed_and_stopped_when_idle(user: User) -> None:
    user.json("up")
    assert "systemd 257" in user.run("ssh", "--", "systemctl --version").stdout
    assert user.run("ssh", "--", "systemctl --failed --no-legend").stdout == ""
    assert user.run("run", "--", "python", "-c", "import torch; print(torch.ones(2).sum().item())").stdout
    status = user.json("status")
    assert {layer["name"]: layer["armed"] for layer in status["watch"]["layers"]} == {
        "fuse": True,
        "watcher": True,
        "guard": True,
    }
    policy = "idle_after=15s settle=10 warn=6s interval=1 window=3 slow=1 gpu_window=3"
    user.run("ssh", "--", f"gpu-box-watch policy {policy}")
    stopped = user.wait_for("stopped")["stopped"]
    assert (stopped["layer"], stopped["reason"][:4]) == ("watcher", "idle")
    assert "last stop: " in user.run("up").stdout
