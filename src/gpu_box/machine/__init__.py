"""Everything over SSH: connect to a machine, set it up, move files, run jobs, attach.

Start with `ssh.connection`. Nothing here knows AWS; `box` passes in the machine and its keys.
"""
