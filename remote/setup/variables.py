"""~/.gpu-box/env.sh: the variables of the config's `env` and `env_file`, sent by the laptop.

It holds `# DIGEST`, then `export NAME='value'` lines for a POSIX shell. Shells (shell.sh, shell.fish) and
JupyterLab's start (jupyter/start.sh) source it; jobs read it here.
"""

import os
import shlex
from pathlib import Path
from typing import Callable, Dict

from setup.desired import ROOT

FILE: Path = ROOT / "env.sh"
NEW: Path = ROOT / "env.sh.new"  # of a transfer that was cut (src/gpu_box/machine/files/secret.py)
_LEAST_MASKED = 8


def digest() -> str:
    """The file's first line; "" without a file."""
    return _text().partition("\n")[0]


def values() -> Dict[str, str]:
    """The variables by name; empty if the file is missing or invalid."""
    try:
        words = shlex.split(_text(), comments=True)
    except ValueError:
        return {}
    pairs = [word.partition("=") for word in words if word != "export"]
    return {name: value for name, _, value in pairs}


def mask() -> Callable[[str], str]:
    """A function that puts $NAME in place of each value, for logs and errors.

    Values of less than 8 characters stay: most are no secrets, and parts of other words.
    """
    found = [(part, name) for name, value in values().items() for part in value.splitlines()]
    secret = sorted((each for each in found if len(each[0]) >= _LEAST_MASKED), key=lambda each: -len(each[0]))

    def masked(text: str) -> str:
        for part, name in secret:
            text = text.replace(part, "$" + name)
        return text

    return masked


def _text() -> str:
    try:
        return os.fsdecode(FILE.read_bytes())
    except OSError:
        return ""
