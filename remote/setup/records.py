"""~/.gpu-box/steps/NAME.json: the fingerprint that a step was last applied for, for fast checks."""

import json
import os
from pathlib import Path
from typing import Dict, Optional, Union

from setup.desired import ROOT

_STEPS = ROOT / "steps"


def read(name: str) -> Optional[Dict[str, str]]:
    try:
        record = json.loads((_STEPS / (name + ".json")).read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def write(name: str, fingerprint: str, line: str) -> None:
    record = json.dumps({"fingerprint": fingerprint, "line": line})
    write_atomically(_STEPS / (name + ".json"), record + "\n")


def write_atomically(path: Path, content: Union[str, bytes], mode: int = 0o644) -> None:
    """Replace a file atomically; it never has wider permissions than `mode`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(".%s.%d" % (path.name, os.getpid()))
    descriptor = os.open(str(temporary), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(str(temporary), str(path))
