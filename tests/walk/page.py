"""docs/reliability.md: what `make walk` last found, a section for each of its parts."""

from __future__ import annotations

from pathlib import Path

from ..sections import with_section
from .faults import FAULTS

HEAD = """\
# Killed anywhere, run again

Each command is run, struck at one of its AWS calls by one fault, and run again without it. Then there must be
the one right state; never more than one instance, security group, key pair, schedule, role or disk of a box;
at no moment an instance that runs without something armed that stops it; and after `down`, nothing.
`make walk` writes this page, against the embedded cloud.
"""
SECTIONS = {
    "calls": (
        "Every call, every fault",
        f'The faults: {", ".join(FAULTS)}. "Answer lost" means that the request took effect.',
    ),
    "kills": (
        "Every call, a real `kill -9`",
        "Each command in a process of its own, which the kernel ends before a call is sent, or after it took "
        "effect.",
    ),
    "hands": (
        "Two at once",
        "Two commands on one box from two processes, their AWS calls let through in an order that a seed "
        "draws, on to the machine's own host key. Whoever was refused runs again. Then there must be one "
        "right state.",
    ),
}


def section(name: str, lines: list[str]) -> str:
    title, what = SECTIONS[name]
    return "\n".join([f"## {title}", "", what, "", *lines, ""])


def written(page: Path, part: str) -> str:
    """The page with this section new, the others as they are."""
    old = page.read_text() if page.exists() else ""
    return with_section(old, part, order=[title for title, _ in SECTIONS.values()], head=HEAD)
