"""What people's transfers carry: rsync, scp, curl, git and the like, by the bytes that they read or write.

A copy over a home uplink is slower than the network or the disk of a box that works, and what sshd carries
shows on no socket of its user. A transfer reads at one end and writes at the other, and the kernel counts one
of the two at least; the larger is its rate.
"""

from typing import Set

from ..sample import Rate
from .people import is_editor, runs_jupyter
from .processes import Processes
from .text import shown


def carried(processes: Processes, over: float) -> Rate:
    """Bytes/s since the last look, and the transfer that carried most. over: s since then."""
    working = processes.working()
    transfers = {
        pid for pid, process in working.items() if process.carries and not _by_itself(processes, pid)
    }
    # A shell that runs one after the other inherits what those carried that came and went since.
    callers: Set[int] = {working[pid].parent for pid in transfers} & set(working)
    total, most, who = 0.0, 0.0, ""
    for pid in transfers | callers:
        process = working[pid]
        amount = max(process.taken, process.given, 0)
        total += amount
        if pid in transfers and amount >= most:
            most, who = amount, process.name
    return Rate(total / over if over else 0.0, shown(who))


def _by_itself(processes: Processes, pid: int) -> bool:
    """Whether an editor's or a Jupyter server runs it: they look at repositories unasked.

    What a person starts there has a shell or a kernel in between.
    """
    for one in processes.ancestors(pid):
        process = processes.get(one)
        if process is None or not process.carries:
            return is_editor(one) or runs_jupyter(one)
    return False
