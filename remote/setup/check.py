"""What is there, in one go: for `up`, to find what is missing, and for `status`, to show it. Only reads."""

import json
import shutil
import subprocess
import sys
from typing import Any, Dict, Optional

from setup import card, jupyter_server, steps
from setup.desired import HOME, REMOTE, Desired
from setup.step import NEEDED, Step

_WATCH_TIMEOUT_S = 5


def look(desired: Desired) -> Dict[str, Any]:
    watch = _start_watch_status()  # a process of its own: runs beside the checks
    found = [_check(step, desired) for step in steps.ALL]
    jupyter = next(each for each in found if each["name"] == "jupyter")
    return {
        "steps": found,
        "jupyter": {
            "port": jupyter_server.port(),
            "answering": jupyter["line"].startswith("JupyterLab answers"),
        },
        "disk_free": shutil.disk_usage(str(HOME)).free,
        "gpu": card.describe(),
        "reboot_needed": card.needs_reboot(),
        "watch": _finish_watch_status(watch),
    }


def _check(step: Step, desired: Desired) -> Dict[str, str]:
    try:
        state = step.check(desired)
    except Exception as problem:  # one check that trips must not hide the others
        return {"name": step.name, "status": NEEDED, "line": "cannot be checked: %s" % problem}
    return {"name": step.name, "status": state.status, "line": state.line}


def _start_watch_status() -> "Optional[subprocess.Popen[bytes]]":
    if not (REMOTE / "watch" / "__main__.py").exists():
        return None
    return subprocess.Popen(
        [sys.executable, "-m", "watch", "status", "--json"],
        cwd=str(REMOTE),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _finish_watch_status(process: "Optional[subprocess.Popen[bytes]]") -> Optional[Dict[str, Any]]:
    if process is None:
        return None
    try:
        said, _ = process.communicate(timeout=_WATCH_TIMEOUT_S)
        status = json.loads(said.decode("utf-8", "replace"))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    except ValueError:
        return None
    return status if isinstance(status, dict) else None
