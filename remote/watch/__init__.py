"""The idle watcher: stops this machine when no person and no program uses it, and never before.

`read` samples the machine, `judge` decides from samples and a policy, `stop` warns and powers off. `run` is
the loop around them; `status`, `replay` and the others only read. Runs from this folder alone on Python 3.8+,
as root under systemd or as any user.
"""
