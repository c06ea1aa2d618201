"""The system's own ssh, for what needs a terminal: `gpu-box ssh`, `gpu-box tmux`; and for rsync."""

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
_GIVE_UP = 3  # of the same command: then whoever sends them wants ours to end
# The machine's own shell runs the command line, as sshd would; this one tells where, and passes its end on.
# sshd makes each session a process group (session.c, do_exec_no_pty); a signal to it spares this shell alone.
_TELLING = (
    "f=${TMPDIR:-/tmp}/gpu-box-%s; (umask 077; echo $$ >$f); trap : INT TERM HUP QUIT; "
    '"${SHELL:-/bin/sh}" -c "$1"; s=$?; rm -f $f; exit $s'
)


def ssh_command(host: Host, argv: Sequence[str] = (), *, tty: bool) -> list[str]:
    """The command line to execute; verified against the host's own keys whatever the user's ssh is set to.

    argv: one word is a command line for the machine's shell, several are a program and its arguments; none
    is a login shell.
    """
    keys.read_key_pair(host.key)
    ssh = shutil.which("ssh")
    if ssh is None:
        raise InputError("there is no ssh program here", remedy="Install OpenSSH's client.")
    # With a terminal and a command, ssh would close with a line of its own.
    terminal = ["-t", *(["-o", "LogLevel=ERROR"] if argv else [])] if tty else []
    command = [ssh, "-F", str(ssh_config.private_config(host)), *terminal, host.name]
    if argv:
        command += ["--", _line(argv)]
    return command


def run(host: Host, argv: Sequence[str]) -> int:
    """A command there, without a terminal, on our own streams. Returns its exit status.

    Signals that we get, it gets: OpenSSH's client does not pass them on, and would leave it running.
    """
    mark = secrets.token_hex(8)
    told = shlex.join(["exec", "sh", "-c", _TELLING % mark, "gpu-box", _line(argv)])
    # A session of its own: Ctrl-C must end the command there, not the ssh that brings its last words.
    ssh = subprocess.Popen(ssh_command(host, [told], tty=False), start_new_session=True)
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
