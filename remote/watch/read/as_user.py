"""Look into a user's folders as that user, so that no link in them leads root further than its owner gets.

Effective ids only, as OpenSSH's temporarily_use_uid sets them. So the user can neither signal nor trace the
watcher meanwhile (kill(2), ptrace(2)), and a FUSE file system of theirs refuses it instead of holding it up
(fuse_allow_current_process in the kernel wants all ids to be the mounter's).
"""

import contextlib
import os
import signal
from typing import Iterator

from .people import User


@contextlib.contextmanager
def acting_as(user: User) -> Iterator[None]:
    """For file system calls and new sockets. No change for root's own folders, or when we are not root.

    OSError when the ids cannot be changed. SIGTERM waits until they are changed back. Nothing in it may
    import a module: the user may not be able to read Python's own.
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
