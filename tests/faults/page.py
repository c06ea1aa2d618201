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
    "services": (
        "A whole service down",
        "Each command runs while every call of one service gets no answer (nothing listens, or its name does "
        "not resolve), and while every call is denied. `status` then answers, `stop` ends in `stopped`, and "
        "`down` leaves nothing that bills. Once the service is back, the command runs again and ends as it "
        "should. Without an answer from IAM or Scheduler, nothing is started, and no launch is left running, "
        "that AWS would not stop. us-east-1 stands for IAM and the price list, for a box in another region. "
        "While the box's own region is down, every command is refused in one line, and nothing is lost.\n\n"
        "Each cell: no answer / denied. `done`: as always. `refused`: one line, exit 1. `part`: `up` without "
        "the denied deadline, so that the layers on the box hold alone; or `down` but for a schedule or a "
        "role, which cost nothing and go with the next `down`. `-`: the command does not call that service.",
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
