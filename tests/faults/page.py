"""docs/reliability.md: what `make walk` last found, a section for each of its parts."""

from __future__ import annotations

from pathlib import Path

from docs.sections import with_section

from .faults import FAULTS

HEAD = """\
# Killed anywhere, run again

Each command is run, struck at one of its AWS calls by one fault, run again without it, and then `down`. There
must be the one right state after the second run, and after `down` nothing, in any region. Throughout, at
every change in the cloud: never more than one instance, security group, key pair, deadline, role, spot
request or disk of a box, and no instance that runs without something armed that stops it.
`make walk` writes this page, against the embedded cloud, as the user of `infra/operator-policy.json`. What it
tells of a cloud it has from the cloud itself, and not from gpu-box.
"""
AGAIN = "again"
SECTIONS = {
    "calls": (
        "Every call, every fault",
        f'The faults: {", ".join(FAULTS)}. "Answer lost" means that the request took effect, "for good" that '
        "nothing after it comes through. Killed is a process of its own, ended by the kernel's `kill -9` "
        "before a call is sent, or after it took effect.",
    ),
    AGAIN: (
        "A command that was mended since",
        "All of its scenarios once more, after a defect that the walk above had found.",
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


def written(page: Path, name: str, lines: list[str]) -> str:
    """The page with this section new, the others as they are; a walk of all calls makes that of one old."""
    old = page.read_text() if page.exists() else ""
    order = [title for key, (title, _) in SECTIONS.items() if (name, key) != ("calls", AGAIN)]
    return with_section(old, section(name, lines), order=order, head=HEAD)
