"""Queries the idle watcher's status (`python3 -m watch status --json`) in a parallel process."""

import json
import os
import subprocess
import sys
from typing import Any, Dict, Optional

from setup.desired import REMOTE

PACKAGE = REMOTE / "watch"
_TIMEOUT_S = 10


class StatusQuery:
    """Starts the query at once; `answer` waits for it."""

    def __init__(self) -> None:
        self._process: "Optional[subprocess.Popen[bytes]]" = None
        self._answer: Optional[Dict[str, Any]] = None
        if (PACKAGE / "__main__.py").exists():
            self._process = subprocess.Popen(
                [sys.executable, "-E", "-m", "watch", "status", "--json"],
                cwd=str(REMOTE),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    def answer(self) -> Optional[Dict[str, Any]]:
        """The status, or None without an answer."""
        if self._process is not None:
            process, self._process = self._process, None
            try:
                said, _ = process.communicate(timeout=_TIMEOUT_S)
                status = json.loads(said.decode("utf-8", "replace"))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                return None
            except ValueError:
                return None
            self._answer = status if isinstance(status, dict) else None
        return self._answer


def is_armed(status: Optional[Dict[str, Any]]) -> bool:
    """Whether a watcher runs now."""
    try:
        return bool(status and status["layers"]["watcher"]["armed"])
    except (KeyError, TypeError):
        return False


def shares_its_host() -> bool:
    """Whether this machine is a process of its host, whose power-off would stop the host."""
    return "GPU_BOX_MACHINE" in os.environ or "GPU_BOX_SSHD_DIR" in os.environ
