"""Quoting for the machine's shell, and splitting its output into lines."""

from __future__ import annotations

import codecs
import shlex

# The system's python3, even after start files put the environment of jobs and notebooks first in PATH
# (remote/setup/shell.sh): set-up and the watcher must not run on that, nor (-E) with jobs' PYTHONPATH and
# PYTHONHOME. Works in any login shell.
PYTHON = """sh -c 'PATH=${GPU_BOX_SYSTEM_PATH:-$PATH}; exec python3 -E "$@"' python3"""


NO_CODE = 4  # exit status of `remote_module` on a box without that module


def remote_module(module: str, *words: str, site: bool = True) -> str:
    """The command line that runs a module of remote/ on the box. site: False if it needs no package there."""
    python = PYTHON if site else f"{PYTHON} -S"
    folder = f"~/.gpu-box/remote/{module}"
    return f"cd {folder} 2>/dev/null || exit {NO_CODE}; cd ..; exec {python} -m {quote(module, *words)}"


def quote(*words: str) -> str:
    """A command line of these words, for the machine's shell. A leading ~/ stays the home folder."""
    return " ".join(f'"$HOME"/{shlex.quote(w[2:])}' if w.startswith("~/") else shlex.quote(w) for w in words)


_LONGEST_LINE = 1 << 20  # characters, a limit for a box that never ends a line


class LineSplitter:
    """Splits at newlines. For a line redrawn with carriage returns, the last drawing counts.

    A line longer than _LONGEST_LINE is split.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, piece: bytes) -> list[str]:
        """The lines that `piece` completes, without their newlines."""
        *lines, rest = (self._rest + self._decoder.decode(piece)).split("\n")
        rest = rest[rest.rstrip("\r").rfind("\r") + 1 :]
        while len(rest) > _LONGEST_LINE:
            lines.append(rest[:_LONGEST_LINE])
            rest = rest[_LONGEST_LINE:]
        self._rest = rest
        return [_last_drawing(line) for line in lines]

    def rest(self) -> str:
        """The text after the last newline."""
        return _last_drawing(self._rest + self._decoder.decode(b"", final=True))


def _last_drawing(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]
