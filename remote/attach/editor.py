"""What an editor on the laptop opens here: the folder, and the Python of jobs and notebooks."""

import json
import os
from pathlib import Path
from typing import Any, Dict

from setup.desired import PROJECT, PROJECT_READY, VENV, WORK

# Settings of the machine, which a person's own and the project's override (Python extension, "Settings
# reference", defaultInterpreterPath; microsoft/vscode-remote-release#6537 for the place of the file).
_SETTINGS = {
    "code": Path.home() / ".vscode-server/data/Machine/settings.json",
    "cursor": Path.home() / ".cursor-server/data/Machine/settings.json",
}
_KEY = "python.defaultInterpreterPath"
_MOST_BYTES = 1 << 20


def describe(editor: str) -> Dict[str, Any]:
    """Also preset the interpreter in the editor's settings, unless another one is chosen there."""
    found = (PROJECT if PROJECT_READY.exists() else VENV) / "bin" / "python"
    python = str(found) if found.exists() else ""
    settings = _SETTINGS.get(editor)
    preset = bool(settings and python) and _preset(settings, python)
    return {"folder": str(WORK), "python": python, "preset": preset}


def _preset(path: Path, python: str) -> bool:
    """Whether the editor uses that Python now. A file that we cannot read as JSON is left as it is."""
    try:
        content = _read(path)
        settings = json.loads(content) if content.strip() else {}
    except ValueError:  # comments, which VS Code allows
        return False
    if not isinstance(settings, dict):
        return False
    ours = str(VENV / "bin" / "python"), str(PROJECT / "bin" / "python")
    if settings.get(_KEY, ours[0]) not in ours:
        return False
    if settings.get(_KEY) != python:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(".settings.%d" % os.getpid())
        temporary.write_text(json.dumps(dict(settings, **{_KEY: python}), indent=4) + "\n")
        temporary.replace(path)
    return True


def _read(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8") as file:
        return file.read(_MOST_BYTES)
