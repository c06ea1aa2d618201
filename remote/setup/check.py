"""Reads the box's state in one call: `up` learns what is missing, `status` shows it."""

from typing import Any, Dict

from jobs import describe
from setup import addresses, card, jupyter_server, reboot, steps, watcher
from setup.desired import Desired
from setup.step import NEEDED, Step
from setup.steps.watch import look as look_at_watch
from watch.read import scratch


def look(desired: Desired) -> Dict[str, Any]:
    watch = watcher.StatusQuery()  # a process that runs in parallel with the checks
    found = [_check(step, desired, watch) for step in steps.ALL]
    jupyter = next(each for each in found if each["name"] == "jupyter")
    return {
        "steps": found,
        "project_steps": [_check(step, desired, watch) for step in steps.PROJECT],
        "jupyter": {
            "port": jupyter_server.port(),
            "answering": jupyter["line"].startswith("JupyterLab answers"),
        },
        "gpu": card.describe(),
        "scratch_lost": scratch.lost(),
        "jobs": describe.latest(),
        "reboot": reboot.wanted(),
        "watch": watch.answer(),
    }


def _check(step: Step, desired: Desired, watch: watcher.StatusQuery) -> Dict[str, str]:
    try:
        state = look_at_watch(desired, watch) if step.name == "watch" else step.check(desired)
    except Exception as problem:  # a failing check must not hide the others
        return {"name": step.name, "status": NEEDED, "line": "cannot be checked: %s" % problem}
    return {"name": step.name, "status": state.status, "line": addresses.without_logins(state.line)}
