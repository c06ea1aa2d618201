"""The idle watcher: it stops this machine when nobody and nothing uses it, and never before.

Three things that never mix: `read` takes samples of the machine, `judge` decides from samples and a
policy alone, `stop` warns and powers off. `run` joins them; `status`, `replay` and the rest only look.
Runs alone from this folder on Python 3.8+, as root under systemd or as any user.
"""
