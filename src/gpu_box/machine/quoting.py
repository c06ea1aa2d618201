"""Words for the machine's shell."""

from __future__ import annotations

import shlex

# The system's python3, also after the user's start files put that of jobs and notebooks before it
# (remote/setup/shell.sh): what makes that environment and the watcher must not run on it. In any login shell.
PYTHON = """sh -c 'PATH=${GPU_BOX_SYSTEM_PATH:-$PATH}; exec python3 "$@"' python3"""


def quote(*words: str) -> str:
    """A command line of these words, for the machine's shell. A leading ~/ stays the home folder."""
    return " ".join(f'"$HOME"/{shlex.quote(w[2:])}' if w.startswith("~/") else shlex.quote(w) for w in words)
