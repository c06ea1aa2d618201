"""Somebody who types gpu-box: the installed command, in a project's folder, on some cloud."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed import control

from . import schema

COMMAND = Path(sys.executable).with_name("gpu-box")
CONFIG = """\
region: us-east-1
ssh:
  key: ./key
  config: false
sync:
  exclude: ["*.secret"]
"""


@dataclass
class User:
    """Somebody in their project's folder."""

    folder: Path
    environment: dict[str, str]
    cloud: tuple[str, ...] = ("--local",)  # words for every command; none: real AWS
    patience_s: float = 480

    def run(self, *words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [COMMAND, *self.cloud, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=self.patience_s,
        )
        assert done.returncode == expect, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: str) -> Any:
        """The result of a command, held to its schema."""
        return schema.held(words, self.run("--json", *words).stdout)

    def weather(self, **wanted: Any) -> None:
        """Of the embedded cloud (local_aws.faults)."""
        home = Path(self.environment["GPU_BOX_HOME"])
        assert control.ask(home, "POST", "/embedded/weather", wanted)[0] == 200

    def wait_for(self, state: str, *, seconds: float = 120.0) -> Any:
        """The status, once the box is in that state. Meanwhile it is not looked into: that would be use."""
        self._until(seconds, lambda: [box["state"] for box in self.json("ls")] == [state])
        return self.json("status")

    def wait_for_notices(self, *, seconds: float = 120.0) -> Any:
        """What `status` of the running box says that a person should act on, once it says something."""
        return self._until(
            seconds, lambda: (seen := self.json("status"))["state"] == "running" and seen["notices"]
        )

    def _until(self, seconds: float, look: Callable[[], Any]) -> Any:
        """What `look` finds, once it finds something."""
        give_up = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < give_up, self.json("status")
            time.sleep(2)  # each look starts a Python: looks at every moment slow down what is waited for
        return found
