"""The system's own ssh, for what needs a terminal: `gpu-box ssh`, `gpu-box tmux`; and for rsync."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence

from gpu_box.errors import InputError
from gpu_box.machine import keys, sshconfig
from gpu_box.model import Host


def ssh_command(host: Host, argv: Sequence[str] = (), *, tty: bool) -> list[str]:
    """The command line to execute; verified against the host's own keys whatever the user's ssh is set to.

    argv: one word is a command line for the machine's shell, several are a program and its arguments; none
    is a login shell.
    """
    keys.read_key_pair(host.key)
    ssh = shutil.which("ssh")
    if ssh is None:
        raise InputError("there is no ssh program here", remedy="Install OpenSSH's client.")
    command = [ssh, "-F", str(sshconfig.private_config(host)), *(["-t"] if tty else []), host.name]
    if argv:
        command += ["--", argv[0] if len(argv) == 1 else shlex.join(argv)]
    return command
