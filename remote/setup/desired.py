"""What the laptop asks for, and where things are on the box."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, Tuple

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
    policy: Dict[str, Any] = field(default_factory=dict)  # what policy.json is to hold (watch/policy.py)
    kaggle: Tuple[Tuple[str, str], ...] = ()  # files of ~/.kaggle that the laptop brings, and their sha256
    notify: str = ""  # sha256 of ~/.gpu-box/notify.json that the laptop brings; "": there is to be none

    @classmethod
    def from_json(cls, text: str) -> "Desired":
        fields: Dict[str, Any] = json.loads(text or "{}")
        return cls(
            packages=tuple(fields.get("packages", ())),
            jupyter_port=int(fields.get("jupyter_port", 8888)),
            policy=fields["policy"] if "policy" in fields else _of_words(fields.get("watch", ())),
            kaggle=tuple((name, digest) for name, digest in fields.get("kaggle", ())),
            notify=str(fields.get("notify", "")),
        )


def _of_words(words: Iterable[str]) -> Dict[str, Any]:
    """The policy as an older laptop sends it: "idle_after=1800"."""
    policy: Dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        try:
            policy[key] = float(value)
        except ValueError:
            policy[key] = value or None
    return policy


def fingerprint(*parts: object) -> str:
    """One short name for all of it; the order counts."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]
