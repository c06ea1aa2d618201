"""Writes docs/reliability.md: the results of `make walk`, one section per part."""

from __future__ import annotations

from pathlib import Path

from docs.sections import with_section

from .faults import FAULTS

HEAD = """\
# Killed anywhere, run again

Each command runs with one fault at one of its AWS calls, then again without the fault, and then `down` runs.
After the second run there must be the one right state, and after `down` nothing in any region. At every
change in the cloud the walk also checks that a box never has more than one instance, security group, key
pair, deadline, role, spot request or disk, and that no instance runs without an armed layer that stops it.
`make walk` writes this page, against the embedded cloud, as the user of `infra/operator-policy.json`. It
reads the state from the cloud itself, not through gpu-box.
"""
AGAIN = "again"
SECTIONS = {
    "calls": (
        "Every call, every fault",
        f'The faults: {", ".join(FAULTS)}. "Answer lost" means that the request took effect, "for good" that '
        "nothing after it comes through. Killed is a process of its own, ended by the kernel's `kill -9` "
        "before a call is sent, or after it took effect.\n\n"
        "A call that changes something in AWS is struck by every fault. A call that reads leaves AWS as it "
        "found it, so that most of its faults repeat one another; a phase is what lies between two changes. "
        "Killed after the call, connection refused and credentials expired end the command: they strike at "
        "the first, second and last read of each phase, answer lost for good at the first. Throttled for "
        "good, 500 and access denied hit one operation: they strike at the first, second and last of the "
        "reads with the same parameters. Throttled once and answer lost are hidden by the SDK's retry: they "
        "strike at the first read of each operation. `python -m tests.faults --every` leaves none out.",
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
        "Each cell: no answer / denied. `done`: as always. `refused`: one line, exit 1; so does `up` where "
        "the deadline is denied. `part`: an `up` of a running box, without the denied deadline, so that the "
        "layers on the box hold alone; or `down` but for a schedule or a role, which cost nothing and go "
        "with the next `down`. `-`: the command does not call that service.",
    ),
    "hands": (
        "Two at once",
        "Two commands run on one box in two processes; a seed draws the order of their AWS calls. A refused "
        "command runs again. Then there must be one right state.",
    ),
    "kill": (
        "The installed command, killed",
        "`make kill`: each command is ended by `kill -9` at a random moment and runs again; the `aws` client "
        "counts what there is. After the second run there is at most one of everything, after `down` "
        "nothing.",
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
