"""What the idle watcher says of itself: `python3 -m watch status --json`, asked beside the rest."""

import json
import os
import subprocess
import sys
from typing import Any, Dict, Optional

from setup.desired import REMOTE

PACKAGE = REMOTE / "watch"
_TIMEOUT_S = 10


class Asked:
    """Asked at once, answered when it is needed."""

    def __init__(self) -> None:
        self._process: "Optional[subprocess.Popen[bytes]]" = None
        self._answer: Optional[Dict[str, Any]] = None
        if (PACKAGE / "__main__.py").exists():
            self._process = subprocess.Popen(
                [sys.executable, "-m", "watch", "status", "--json"],
                cwd=str(REMOTE),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    def answer(self) -> Optional[Dict[str, Any]]:
        """None where it does not answer."""
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
    """Whether a watcher watches now."""
    try:
        return bool(status and status["layers"]["watcher"]["armed"])
    except (KeyError, TypeError):
        return False


def shares_its_host() -> bool:
    """A machine that is only a process: what would power it off would power off the laptop."""
    return "GPU_BOX_MACHINE" in os.environ or "GPU_BOX_SSHD_DIR" in os.environ
