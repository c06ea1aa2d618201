"""Jobs that outlive the laptop: `python3 -m jobs COMMAND`, run from ~/.gpu-box/remote.

Standard library alone, Python 3.8+. A job is a folder, ~/.gpu-box/jobs/NAME (see `job`); its command runs in
a session of its own under a supervisor (see `supervise`), which sits in a tmux window where there is tmux.
"""
