"""Opens a user's folders as that user, so that no link in them gives root access to more than its owner has.

Changes effective ids only, like OpenSSH's temporarily_use_uid. So the user can neither signal nor trace the
watcher meanwhile (kill(2), ptrace(2)), and a FUSE file system of that user refuses the watcher instead of
blocking it (fuse_allow_current_process in the kernel compares all ids with the mounter's).
"""

import contextlib
import os
import signal
from typing import Iterator

from .people import User


@contextlib.contextmanager
def acting_as(user: User) -> Iterator[None]:
    """Make file system calls and open sockets as `user`. Does nothing for root, or if we are not root.

    Raises OSError if the ids cannot be changed. Blocks SIGTERM until they are restored. Do not import modules
    inside: the user may be unable to read Python's.
    """
    if os.geteuid() != 0 or user.uid == 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    try:
        os.setgroups([user.gid])
        os.setegid(user.gid)
        os.seteuid(user.uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
