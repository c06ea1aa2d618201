"""Everything that happens over SSH: reaching a machine, setting it up, moving files, running jobs, attaching.

Start with `connection`. Nothing here knows AWS; `box` says which machine and with which keys.
"""
