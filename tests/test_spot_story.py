"""A spot box that AWS takes back in the middle of a training: the installed command, a real SSH machine."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .user import COMMAND, CONFIG, User

REASON = "interrupted by AWS: spot capacity was needed"
# Counts, keeps the count, and ends when it is told to, as a training with checkpoints does.
TRAINS = """\
import os, signal, sys, time
from pathlib import Path

kept = Path("results/count")
kept.parent.mkdir(exist_ok=True)
count = int(kept.read_text()) if kept.exists() else 0
print("resumed" if os.environ.get("GPU_BOX_RESUMED") else "begun", "at", count, flush=True)


def end(*_):
    kept.write_text(str(count))
    print("kept", flush=True)
    sys.exit(143)


signal.signal(signal.SIGTERM, end)
while not Path("results/enough").exists():
    count += 1
    time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    folder, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("home")
    (folder / "config.yaml").write_text(f"{CONFIG}market: spot\n")
    (folder / "count.py").write_text(TRAINS)
    one = User(folder, {**os.environ, "GPU_BOX_HOME": str(home)})
    yield one
    subprocess.run([COMMAND, "local", "stop"], env=one.environment, check=True, capture_output=True)


def weather(user: User, **wanted: Any) -> None:
    daemon = json.loads((Path(user.environment["GPU_BOX_HOME"]) / "embedded" / "daemon.json").read_text())
    request = urllib.request.Request(
        f"http://127.0.0.1:{daemon['port']}/embedded/weather",
        json.dumps(wanted).encode(),
        {"Content-Type": "application/json"},
        method="POST",
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert opener.open(request, timeout=20).status == 200


def wait_for(user: User, state: str) -> dict[str, Any]:
    give_up = time.monotonic() + 120
    while (status := user.json("status"))["state"] != state:
        assert time.monotonic() < give_up, status
        time.sleep(0.5)
    told: dict[str, Any] = status
    return told


def test_a_training_that_aws_interrupts_goes_on_with_the_next_up_and_nothing_is_left(user: User) -> None:
    assert user.json("up")["resumed"] == []
    user.run("ssh", "--", "cd .gpu-box/remote && python3 -m watch policy notice=0.2 interval=1")
    user.run("run", "--detach", "--", "python", "count.py")

    weather(user, spot_capacity={"*": {"*": 0}}, spot_notice_s=12)
    stopped = wait_for(user, "stopped")["stopped"]
    assert (stopped["layer"], stopped["reason"]) == ("AWS", REASON)
    assert stopped["signals"], "with the figures of its last moment"

    weather(user, spot_capacity={})
    assert f": {REASON}" in user.run("why").stdout
    assert user.json("status")["state"] == "stopped", "there is capacity, and nobody has asked for the box"

    said = user.run("up").stdout
    assert REASON in said
    assert "goes on after the interruption by AWS: count" in said
    user.run("ssh", "--", "touch work/results/enough")
    first, told, kept, again, resumed = user.run("logs", "count").stdout.splitlines()
    assert (first, kept) == ("begun at 0", "kept")
    assert "SIGTERM" in told
    assert "started again" in again
    assert int(resumed.removeprefix("resumed at ")) > 0

    assert user.json("down", "--yes")["left"] == [], "no spot request either"
