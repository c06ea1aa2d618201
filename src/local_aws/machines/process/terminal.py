"""Run as a script: makes the terminal on standard input the controlling one, then becomes the given program.

    python -IS terminal.py PROGRAM ARGV0 [ARG...]

A program of its own because the daemon has threads: code between fork and exec must not run in it.
"""

import fcntl
import os
import sys
import termios

if __name__ == "__main__":
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.execvp(sys.argv[1], sys.argv[2:])
