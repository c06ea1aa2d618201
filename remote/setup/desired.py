"""What the laptop asks for, and where things are on the box."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Tuple

HOME = Path.home()
ROOT = HOME / ".gpu-box"
REMOTE = ROOT / "remote"
VENV = ROOT / "venv"
LOGS = ROOT / "logs"
WORK = HOME / "work"


@dataclass(frozen=True)
class Desired:
    packages: Tuple[str, ...] = ()  # requirements on top of the box's own
    jupyter_port: int = 8888
    watch: Tuple[str, ...] = ()  # the watcher's policy, as words: "idle_after=1800"
    kaggle: Tuple[Tuple[str, str], ...] = ()  # files of ~/.kaggle that the laptop brings, and their sha256
    notify: str = ""  # sha256 of ~/.gpu-box/notify.json that the laptop brings; "": there is to be none

    @classmethod
    def from_json(cls, text: str) -> "Desired":
        fields: Dict[str, Any] = json.loads(text or "{}")
        return cls(
            packages=tuple(fields.get("packages", ())),
            jupyter_port=int(fields.get("jupyter_port", 8888)),
            watch=tuple(fields.get("watch", ())),
            kaggle=tuple((name, digest) for name, digest in fields.get("kaggle", ())),
            notify=str(fields.get("notify", "")),
        )


def fingerprint(*parts: object) -> str:
    """One short name for all of it; the order counts."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]
