"""The box's side of `gpu-box sync` and `pull`: `python3 -m sync COMMAND`, one round trip each.

Python 3.8+ and its standard library. File names are bytes, terminated by NUL, because they need not be UTF-8.
"""
