"""Sets the box up: `python3 -m setup check|apply`, run on the box from ~/.gpu-box/remote.

Standard library alone, Python 3.8+. Each step (in steps/) has a check that only reads and an apply that may
be killed anywhere and run again. What the laptop asks for comes as JSON on standard input (`Desired`).
"""
