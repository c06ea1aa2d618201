"""Read a small file that someone else wrote, or may have replaced by something nasty."""

import os
import stat


def read(path: str, most: int = 65536) -> str:
    """Its text, at most `most` bytes. OSError when it cannot be read or is no regular file.

    The watcher may be root and the file a user's: a fifo must not hang it, nor a huge file fill its memory.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError("%s is no regular file" % path)
        return os.read(file, most).decode("utf-8", "replace")
    finally:
        os.close(file)
