"""python in the shells of a booted Debian, with its own start files, sshd, sudo and tmux."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from testbed.box import start_box
from testbed.cloud import Cloud, KeyFile

from tests.paths import REMOTE

pytestmark = [pytest.mark.machine, pytest.mark.timeout(600)]

# An environment, and the step that puts it in the user's shells.
SET_UP = """
set -e
mkdir -p .gpu-box/remote && tar -x -C .gpu-box/remote
python3 -m venv .gpu-box/venv
cd .gpu-box/remote
python3 -c '
from setup.desired import Desired
from setup.session import Session
from setup.steps.shell import STEP
print(STEP.apply(Desired(), Session("shell")).status)
'
"""
OURS = "/home/ubuntu/.gpu-box/venv"
PREFIX = "python3 -c 'import sys; print(sys.prefix)'"
# Scripts of the system that run on whatever python3 is first in the user's PATH. Those of apt and cloud-init
# name /usr/bin/python3, as Debian's Python Policy asks; these here need the standard library alone.
HARMLESS = {"pdb3", "pdb3.11", "pygettext3", "pygettext3.11", "routel", "rrsync"}
HIJACKED = "grep -lsE '^#! */usr/bin/env python' /usr/bin/* /usr/sbin/* || true"


def test_shells_use_our_python_and_root_uses_the_system_s(cloud: Cloud, key: KeyFile) -> None:
    ssh = start_box(cloud, key).ssh()
    assert "return" in ssh.says("head -9 .bashrc"), "the stock file, which returns early"
    done = ssh.run(SET_UP, sent=_remote())
    assert done.stdout.endswith(b"done\n"), done.stderr
    assert ssh.says("command -v python pip").split() == [f"{OURS}/bin/python", f"{OURS}/bin/pip"]
    assert ssh.says(PREFIX) == OURS
    assert ssh.says(f'env -u SSH_CLIENT bash -ic "{PREFIX}" 2>/dev/null') == OURS
    assert ssh.says(f'bash -lc "{PREFIX}"') == OURS
    typed = subprocess.run(
        ssh.command(options=("-tt",)), input=f"{PREFIX}; exit\n", capture_output=True, text=True, timeout=60
    )
    assert f"\n{OURS}\n" in typed.stdout
    keys = f'"{PREFIX} >found; tmux wait-for -S ready" Enter'
    in_tmux = f"tmux new-session -d -s main && tmux send-keys -t main {keys} && tmux wait-for ready"
    assert ssh.says(f"{in_tmux} && cat found") == OURS
    for root in ("sudo", "sudo -i", "sudo su - root -c", "sudo systemd-run --quiet --pipe --wait bash -c"):
        words = f'"{PREFIX}"' if root.endswith("-c") else PREFIX
        assert ssh.says(f"{root} {words}") == "/usr", root
    assert {Path(name).name for name in ssh.says(HIJACKED).split()} <= HARMLESS
    assert ssh.says("cloud-init status --wait").endswith("status: done")
    assert ssh.run("sudo dpkg --configure -a && sudo apt-get -q check").returncode == 0
    assert ssh.says("sudo systemctl is-system-running") == "running"


def _remote() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(REMOTE, ".", filter=lambda found: None if "__pycache__" in found.name else found)
    return packed.getvalue()
