"""The set-up that the laptop asks for, and the paths on the box."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Tuple

HOME = Path.home()
ROOT = HOME / ".gpu-box"
REMOTE = ROOT / "remote"
VENV = ROOT / "venv"  # the box's own environment
JUPYTER_VENV = ROOT / "jupyter-venv"  # JupyterLab alone
PROJECT = ROOT / "project-venv"  # that of the project's lock (setup/steps/environment.py)
PROJECT_READY = PROJECT / "ready"  # made last
LOGS = ROOT / "logs"
WORK = HOME / "work"


@dataclass(frozen=True)
class Desired:
    packages: Tuple[str, ...] = ()  # requirements on top of the box's own
    jupyter_port: int = 8888
    policy: Dict[str, Any] = field(default_factory=dict)  # content of policy.json (watch/policy.py)
    kaggle: Tuple[Tuple[str, str], ...] = ()  # (name, sha256) of the files of ~/.kaggle that the laptop sends
    notify: str = ""  # sha256 of ~/.gpu-box/notify.json, which the laptop sends; "": remove it
    # First line of ~/.gpu-box/env.sh, which the laptop sends; "": remove it; None: keep it.
    env: Optional[str] = ""
    python: str = "auto"  # whether the project's packages are installed: auto, none
    python_version: str = ""  # of the box's own environment, as uv takes it; "": any that is new enough
    setup: Tuple[str, ...] = ()  # the user's own commands, run in ~/work

    @classmethod
    def from_json(cls, text: str) -> "Desired":
        fields: Dict[str, Any] = json.loads(text or "{}")
        return cls(
            packages=tuple(fields.get("packages", ())),
            jupyter_port=int(fields.get("jupyter_port", 8888)),
            policy=fields["policy"] if "policy" in fields else _of_words(fields.get("watch", ())),
            kaggle=tuple((name, digest) for name, digest in fields.get("kaggle", ())),
            notify=str(fields.get("notify", "")),
            env=fields.get("env", ""),
            python=str(fields.get("python", "none")),
            python_version=str(fields.get("python_version", "")),
            setup=tuple(fields.get("setup", ())),
        )


def _of_words(words: Iterable[str]) -> Dict[str, Any]:
    """The policy in the older format: "idle_after=1800"."""
    policy: Dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        try:
            policy[key] = float(value)
        except ValueError:
            policy[key] = value or None
    return policy


def fingerprint(*parts: object) -> str:
    """A short hash of the parts, in this order."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


def python_environment() -> Dict[str, str]:
    """PATH and VIRTUAL_ENV of jobs and scripts: of the project's environment if ready, else of the box's."""
    venv = PROJECT if PROJECT_READY.exists() else VENV
    path = os.pathsep.join([str(venv / "bin"), os.environ.get("PATH", os.defpath)])
    return {"PATH": path, "VIRTUAL_ENV": str(venv)}
