"""The watcher as a process with its own folder, whose stop command touches a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import watch

REMOTE = Path(watch.__file__).parents[1]
# This machine's own processes must not count, so the thresholds are out of reach.
SHORT = {
    "idle_after": 1.5,
    "stuck_after": 1.5,
    "max_hours": None,  # this machine's uptime is unknown
    "settle": 0,
    "interval": 0.15,
    "slow": 1,
    "window": 0.5,
    "warn": [1.1],
    "cpu_cores": 1e9,
    "disk_bps": 1e15,
    "network_bps": 1e15,
}


class Box:
    def __init__(self, root: Path) -> None:
        self.root, self.state = root, root / "watch"
        self.state.mkdir()
        self.off = root / "off"
        self.shell = root / "poweroff"
        self.shell.write_text(f"#!/bin/sh\necho off >>{self.off}\n")
        self.shell.chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "GPU_BOX_MACHINE"},
            "GPU_BOX_WATCH": str(self.state),
            "HOME": str(root),
            "TMUX_TMPDIR": str(root),
            "PYTHONPATH": str(REMOTE),
            "GPU_BOX_MACHINE": f"test-{os.getpid()}-{root.name}",  # counts this one's processes alone
        }
        self.watchers: list[subprocess.Popen] = []

    def policy(self, **values) -> None:
        values = {**SHORT, "stop_command": [str(self.shell)], **values}
        path = self.state / "policy.json"
        path.with_suffix(".new").write_text(json.dumps(values))
        path.with_suffix(".new").rename(path)

    def start(self) -> subprocess.Popen:
        argv = [sys.executable, "-s", "-m", "watch", "run"]
        self.watchers.append(subprocess.Popen(argv, env=self.environment, cwd=self.root))
        return self.watchers[-1]

    def call(self, *words: str) -> subprocess.CompletedProcess:
        argv = [sys.executable, "-s", "-m", "watch", *words]
        options = {"env": self.environment, "cwd": self.root, "timeout": 30}
        return subprocess.run(argv, capture_output=True, text=True, **options)

    def status(self) -> dict:
        return json.loads(self.call("status", "--json").stdout)

    def written(self) -> dict:
        """What `status` reads, without the start of a Python: to wait for something in it."""
        path = self.state / "verdict.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def stopped_within(self, seconds: float) -> bool:
        return until(self.off.exists, seconds)


def until(wanted, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if wanted():
            return True
        time.sleep(0.05)
    return False
