"""Jobs that outlive the laptop: `python3 -m jobs COMMAND`, run from ~/.gpu-box/remote.

Python 3.8+ and its standard library. A job is a folder, ~/.gpu-box/jobs/NAME (see `job`). Its command runs in
its own session under a supervisor (see `supervise`), which runs in a tmux window if tmux is installed.
"""
