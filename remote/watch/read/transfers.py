"""The rate of people's transfers (rsync, scp, curl, git and the like), from the bytes that they read or
write.

They have their own threshold, because a home uplink is slower than other network use, and sshd's traffic
shows on no socket of its user. A transfer reads at one end and writes at the other; the kernel counts at
least one of them, and the larger is the rate.
"""

from typing import Set

from ..sample import Rate
from .people import is_editor, runs_jupyter
from .processes import Processes
from .text import shown


def carried(processes: Processes, over: float) -> Rate:
    """Bytes/s since the previous call, and the largest transfer. over: s since then."""
    working = processes.working()
    transfers = {
        pid for pid, process in working.items() if process.carries and not _by_itself(processes, pid)
    }
    # A shell that runs short transfers one after the other inherits their bytes.
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
    """Whether an editor's server or Jupyter started it, which run git on their own.

    A person's command has a shell or a kernel in between.
    """
    for one in processes.ancestors(pid):
        process = processes.get(one)
        if process is None or not process.carries:
            return is_editor(one) or runs_jupyter(one)
    return False
