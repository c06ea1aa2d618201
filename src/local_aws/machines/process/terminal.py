"""Run as a script: makes standard input the controlling terminal, then executes the given program.

    python -IS terminal.py PROGRAM ARGV0 [ARG...]

A separate program because the daemon has threads: Python code must not run between fork and exec.
"""

import fcntl
import os
import sys
import termios

if __name__ == "__main__":
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.execvp(sys.argv[1], sys.argv[2:])
