"""A stand-in for nvidia-smi on a machine without a GPU: it reads its figure from a file, and may hang."""

from __future__ import annotations

from .guaranteed import Box

_PATH = "/usr/local/bin/nvidia-smi"
_SCRIPT = """#!/bin/sh
percent=$(cat /tmp/percent)
[ "$percent" != hang ] || exec sleep 1000
case $1 in
pmon) echo "0 4711 C $percent 0 - - python" ;;
*) echo "0, $percent, GPU-0" ;;
esac
"""


def stand_in(box: Box) -> None:
    """/tmp/percent is what it says, or `hang`."""
    box.ssh(f"sudo tee {_PATH} >/dev/null && sudo chmod 755 {_PATH}", input=_SCRIPT)
