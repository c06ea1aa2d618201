"""Somebody who types gpu-box: the installed command, in a project's folder, on some cloud."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    patience_s: float = 240

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
        return json.loads(self.run("--json", *words).stdout)
