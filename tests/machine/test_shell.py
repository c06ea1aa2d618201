"""python in every kind of shell on the box, under the system's sshd: that of jobs and notebooks."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.machine.files import upload_remote
from gpu_box.machine.ssh import attach
from gpu_box.machine.ssh.connection import Connection, connect
from gpu_box.machine.ssh.shell import PYTHON
from tests.paths import REMOTE

from .conftest import host_of, needs_bash

SKEL = Path("/etc/skel")
STEP = """
from setup.desired import Desired
from setup.session import Session
from setup.steps.shell import STEP
state = STEP.%s
print(state.status, state.line)
"""
START_FILES = (".bashrc", ".profile", ".bash_profile", ".bash_login", ".zshenv")
WHICH = "command -v python python3 pip"


@pytest.fixture
def box(machine: OpenSshMachine) -> Path:
    """The box's home, with a stand-in for the environment: a real one takes seconds."""
    with connect(host_of(machine)) as connection:
        upload_remote.upload(connection, REMOTE)
    tools = machine.home / ".gpu-box" / "venv" / "bin"
    tools.mkdir(parents=True)
    for name in ("python", "python3", "pip"):
        (tools / name).write_text("#!/bin/sh\necho ours\n")
        (tools / name).chmod(0o755)
    return machine.home


@pytest.fixture
def ours(box: Path) -> str:
    return "".join(f"{box}/.gpu-box/venv/bin/{name}\n" for name in ("python", "python3", "pip"))


def apply(connection: Connection) -> str:
    return _run(connection, "apply(Desired(), Session('shell'))")


def check(connection: Connection) -> str:
    return _run(connection, "check(Desired())")


def _run(connection: Connection, call: str) -> str:
    return connection.run(f"cd ~/.gpu-box/remote && {PYTHON} -", stdin=(STEP % call).encode()).stdout


def stock(home: Path, **others: str) -> None:
    """Debian's own start files, and other ones by their names without the dot."""
    if not (SKEL / ".bashrc").exists():
        pytest.skip("no /etc/skel/.bashrc here")
    for name in (".bashrc", ".profile"):
        shutil.copy(SKEL / name, home / name)
    for name, text in others.items():
        (home / f".{name}").write_text(text)


def contents(home: Path) -> dict[str, bytes]:
    return {name: (home / name).read_bytes() for name in START_FILES if (home / name).exists()}


def login(machine: OpenSshMachine, typed: str) -> str:
    """What a login shell in a terminal shows, as `gpu-box ssh` opens it."""
    command = attach.ssh_command(host_of(machine), tty=True)
    command[command.index("-t")] = "-tt"
    done = subprocess.run(command, input=f"{typed}; exit\n", capture_output=True, text=True, timeout=30)
    if done.returncode == 255 and "chown(/dev/pts/" in (machine.folder / "sshd.log").read_text():
        pytest.skip("terminals here have another group than tty: an ordinary user's sshd gives none")
    return done.stdout.replace("\r\n", "\n")


BARE = "env -u SSH_CLIENT PATH=/usr/bin:/bin"
SHELLS = {
    "a command over SSH": WHICH,
    "a login shell that is not interactive": f"bash -lc '{WHICH}'",
    "an editor's terminal": f"{BARE} bash -ic '{WHICH}'",
    "an editor's server, which asks a login shell": f"{BARE} bash -ilc '{WHICH}'",
    "a terminal of JupyterLab": f"env PATH=$HOME/.gpu-box/venv/bin:/usr/bin:/bin bash -lc '{WHICH}'",
    "sh": f"{BARE} sh -lc 'for n in python python3 pip; do command -v $n; done'",
    "zsh": f"{BARE} zsh -c '{WHICH}'",
    "zsh, login": f"{BARE} zsh -lic '{WHICH}'",
    "fish": f"{BARE} fish -c '{WHICH}'",
    "fish, login": f"{BARE} fish -lc '{WHICH}'",
}


@needs_bash
@pytest.mark.parametrize("files", ["none", "stock", "with a ~/.bash_profile", "with a ~/.bash_login"])
def test_python_in_every_shell_is_that_of_jobs(
    machine: OpenSshMachine, connection: Connection, box: Path, ours: str, files: str
) -> None:
    if files != "none":
        own = {"with a ~/.bash_profile": "bash_profile", "with a ~/.bash_login": "bash_login"}.get(files)
        stock(box, **({own: "export MINE=1\n"} if own else {}))
    apply(connection)
    wrong = {}
    for kind, command in SHELLS.items():
        program = command.removeprefix(BARE).split()[0]
        if program not in ("zsh", "fish") or shutil.which(program):
            found = connection.run(command, check=False)
            if found.stdout != ours:
                wrong[kind] = found
    assert wrong == {}
    assert ours in login(machine, WHICH)


@needs_bash
@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux")
def test_python_in_a_window_of_tmux_is_that_of_jobs(connection: Connection, box: Path, ours: str) -> None:
    stock(box)
    apply(connection)
    connection.run(
        "tmux new-session -d -s main -c ~ && "
        f"tmux send-keys -t main '{WHICH} >found; tmux wait-for -S ready' Enter && tmux wait-for ready",
        timeout_s=30,
    )
    assert (box / "found").read_text() == ours


@needs_bash
def test_what_the_user_activates_comes_before_ours_and_stays_there_in_inner_shells(
    machine: OpenSshMachine, connection: Connection, box: Path
) -> None:
    subprocess.run(["python3", "-m", "venv", "--without-pip", box / "mine"], check=True)
    stock(box)
    apply(connection)
    mine = f"{box}/mine/bin/python\n"
    found = "command -v python"
    typed = f". ~/mine/bin/activate; {found}; bash -ic '{found}'; deactivate; {found}"
    both = f"{mine}{mine}{box}/.gpu-box/venv/bin/python\n"
    assert connection.run(typed).stdout == both
    assert both in login(machine, typed)
    # As `conda init` does it: activated at the end of ~/.bashrc, for each interactive shell.
    with (box / ".bashrc").open("a") as rc:
        rc.write(f'export PATH="{box}/mine/bin:$PATH"\n')
    assert mine in login(machine, found)
    assert connection.run(f"bash -ic '{found}'").stdout == mine


def test_start_files_keep_every_other_byte_their_mode_and_their_links(
    connection: Connection, box: Path
) -> None:
    stock(box, bash_profile="PS1='caf\xe9'\r\nno newline at the end")
    (box / ".bash_profile").write_bytes(b"PS1='caf\xe9'\r\nno newline at the end")
    dotfiles = box / "dotfiles"
    dotfiles.mkdir()
    (box / ".bashrc").rename(dotfiles / "bashrc")
    (dotfiles / "bashrc").chmod(0o600)
    (box / ".bashrc").symlink_to("dotfiles/bashrc")
    before = contents(box)
    assert check(connection).startswith("needed")
    assert apply(connection).startswith("done")
    assert check(connection).startswith("done")
    for name, text in before.items():
        block, last, rest = (box / name).read_bytes().partition(b"# <<< gpu-box <<<\n")
        assert rest == text, name
        assert (block + last).count(b"\n") == 3, "so many lines to delete"
    assert (box / ".bashrc").is_symlink()
    assert stat.S_IMODE((dotfiles / "bashrc").stat().st_mode) == 0o600


def test_a_second_time_changes_nothing_and_an_older_block_is_replaced(
    connection: Connection, box: Path
) -> None:
    stock(box)
    apply(connection)
    after = contents(box)
    touched = {name: (box / name).stat().st_mtime_ns for name in after}
    apply(connection)
    assert contents(box) == after
    assert {name: (box / name).stat().st_mtime_ns for name in after} == touched
    (box / ".bashrc").write_bytes(after[".bashrc"].replace(b"shell.sh", b"older.sh"))
    assert check(connection).startswith("needed")
    apply(connection)
    assert contents(box) == after


def test_a_command_over_ssh_prints_nothing_of_its_own_even_where_our_code_is_gone(
    connection: Connection, box: Path
) -> None:
    stock(box)
    apply(connection)
    for _ in ("our code there", "gone"):
        for command in ("true", "bash -lc true", "sh -lc true", "set -eu; . ~/.profile", "fish -c true"):
            done = connection.run(command if shutil.which(command.split()[0]) else "true")
            assert (done.stdout, done.stderr) == ("", ""), command
        connection.run("rm -rf ~/.gpu-box/remote")


def test_start_files_that_cannot_be_written_are_said_and_are_no_failure(
    connection: Connection, box: Path
) -> None:
    stock(box)
    apply(connection)
    (box / ".bashrc").write_text("# managed elsewhere\n")
    (box / ".bashrc").chmod(0o400)
    # root may write what is merely read-only.
    if os.geteuid() == 0 and subprocess.run(["chattr", "+i", box / ".bashrc"]).returncode != 0:
        pytest.skip("no file here can be read-only for root")
    try:
        reported = apply(connection)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["chattr", "-i", box / ".bashrc"], check=True)
    assert reported.startswith("unavailable ~/.bashrc is read-only"), reported


def test_gpu_box_itself_runs_on_the_systems_python(connection: Connection, box: Path) -> None:
    """The watcher and what makes the environment must outlive an environment that the user broke."""
    stock(box)
    apply(connection)
    prefix = f"{PYTHON} -c 'import sys; print(sys.prefix == sys.base_prefix)'"
    assert connection.run(prefix).stdout == "True\n"
    for shell in ("sh", "zsh", "fish"):
        if shutil.which(shell):
            assert connection.run(f"exec {shell}", stdin=prefix.encode()).stdout == "True\n", shell
