"""The system's ssh, for what needs a terminal (`gpu-box ssh`, `gpu-box tmux`) and for rsync."""

from __future__ import annotations

import secrets
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from types import FrameType

from gpu_box.errors import InputError
from gpu_box.machine.ssh import keys, ssh_config
from gpu_box.model.machine import Host

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_GIVE_UP = 3  # signals to the same command: then end ours
# The machine's own shell runs the command line, as sshd would; the outer one records its process group and
# passes the exit status on. sshd makes each session a process group (session.c, do_exec_no_pty).
_WRAPPER = (
    "f=${TMPDIR:-/tmp}/gpu-box-%s; (umask 077; echo $$ >$f); trap : INT TERM HUP QUIT; "
    '"${SHELL:-/bin/sh}" -c "$1"; s=$?; rm -f $f; exit $s'
)


def ssh_command(host: Host, argv: Sequence[str] = (), *, tty: bool, forward_agent: bool = False) -> list[str]:
    """The command line of ssh, which accepts only the host's own keys whatever the user's ssh config says.

    argv: one word is a command line for the machine's shell, several are a program and its arguments; none is
    a login shell. forward_agent: let it use this laptop's SSH agent (never to log in there).
    """
    keys.read_key_pair(host.key)
    ssh = shutil.which("ssh")
    if ssh is None:
        raise InputError("there is no ssh program on this computer", remedy="Install OpenSSH's client.")
    # With a terminal and a command, ssh would print a line of its own at the end.
    terminal = ["-t", *(["-o", "LogLevel=ERROR"] if argv else [])] if tty else []
    agent = ssh_config.FORWARDED if forward_agent else ()
    options = [word for key, value in agent for word in ("-o", f"{key}={value}")]
    command = [ssh, "-F", str(ssh_config.private_config(host)), *options, *terminal, host.name]
    if argv:
        command += ["--", _line(argv)]
    return command


def run(host: Host, argv: Sequence[str]) -> int:
    """Run a command without a terminal on our own streams; return its exit status.

    Passes our signals on: OpenSSH's client does not, and would leave the command running.
    """
    mark = secrets.token_hex(8)
    wrapped = shlex.join(["exec", "sh", "-c", _WRAPPER % mark, "gpu-box", _line(argv)])
    # A session of its own: Ctrl-C must end the remote command, not the ssh that brings its last output.
    ssh = subprocess.Popen(ssh_command(host, [wrapped], tty=False), start_new_session=True)
    count = 0

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count >= _GIVE_UP:
            ssh.kill()
            return
        name = signal.Signals(number).name.removeprefix("SIG")
        kill = f"kill -s {name} -- -$(cat ${{TMPDIR:-/tmp}}/gpu-box-{mark})"
        subprocess.Popen(
            ssh_command(host, [kill], tty=False),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        status = ssh.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def _line(argv: Sequence[str]) -> str:
    return argv[0] if len(argv) == 1 else shlex.join(argv)
