"""What is there, in one go: for `up`, to find what is missing, and for `status`, to show it. Only reads."""

from typing import Any, Dict

from setup import card, jupyter_server, steps, watcher
from setup.desired import Desired
from setup.step import NEEDED, Step
from setup.steps.watch import look as look_at_watch


def look(desired: Desired) -> Dict[str, Any]:
    watch = watcher.Asked()  # a process of its own: runs beside the checks
    found = [_check(step, desired, watch) for step in steps.ALL]
    jupyter = next(each for each in found if each["name"] == "jupyter")
    return {
        "steps": found,
        "jupyter": {
            "port": jupyter_server.port(),
            "answering": jupyter["line"].startswith("JupyterLab answers"),
        },
        "gpu": card.describe(),
        "reboot_needed": card.needs_reboot(),
        "watch": watch.answer(),
    }


def _check(step: Step, desired: Desired, watch: watcher.Asked) -> Dict[str, str]:
    try:
        state = look_at_watch(desired, watch) if step.name == "watch" else step.check(desired)
    except Exception as problem:  # one check that trips must not hide the others
        return {"name": step.name, "status": NEEDED, "line": "cannot be checked: %s" % problem}
    return {"name": step.name, "status": state.status, "line": state.line}
