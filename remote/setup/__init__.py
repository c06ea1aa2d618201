"""Sets the box up: `python3 -m setup check|apply`, run on the box from ~/.gpu-box/remote.

Python 3.8+ and its standard library. Each step (in steps/) has a check that only reads and an apply that can
be killed at any point and run again. The laptop's wishes come as JSON on standard input (`Desired`).
"""
