"""Words for the machine's shell."""

from __future__ import annotations

import shlex


def quote(*words: str) -> str:
    """A command line of these words, for the machine's shell. A leading ~/ stays the home folder."""
    return " ".join(f'"$HOME"/{shlex.quote(w[2:])}' if w.startswith("~/") else shlex.quote(w) for w in words)
