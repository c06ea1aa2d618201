"""The box's side of `gpu-box sync` and `pull`: `python3 -m sync COMMAND`, each one round trip.

Standard library alone, Python 3.8+. Names of files are bytes, ended by NUL: they need not be UTF-8.
"""
