"""The `process` machine: an SSH server as the current user, with its own home folder. No root.

It has exec, terminals, SFTP, local forwarding, rsync and tmux: all that the host has. It is not a system: it
has no systemd, uses only the SSH host key of cloud-init's user data, and shares the host's loopback. `nspawn`
machines test what needs these. Its own `poweroff` and `shutdown` end the machine; the host's would end the
laptop.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import subprocess
import threading
from pathlib import Path

import asyncssh

from local_aws.files import make_private
from local_aws.machines.loop import on_loop
from local_aws.machines.machine import Boot
from local_aws.machines.metadata import ENDPOINT_VARIABLE, MetadataService
from local_aws.machines.process import census, cloud_init, environment
from local_aws.machines.process.sshd import Sshd, listening_socket

logging.getLogger("asyncssh").setLevel(logging.WARNING)  # at INFO it logs each connection
# In a new home, as Debian's and Ubuntu's /etc/skel have them: ~/.profile reads ~/.bashrc, which returns early
# in a shell that is not interactive. PATH: /etc/profile sets one of its own for login shells.
_START_FILES = {
    ".profile": "export PATH='{path}'\nif [ -n \"$BASH_VERSION\" ]; then . ~/.bashrc; fi\n",
    ".bashrc": "case $- in *i*) ;; *) return ;; esac\n",
}
# Leaves the flag file and returns: the machine, and this script with it, is ended from outside.
_POWEROFF = """#!/bin/sh
: >'{flag}'
"""
_LOOK_S = 0.25  # between two checks for the flag file
_CONSOLE_BYTES = 64 * 1024  # what EC2 keeps


class ProcessMachine:
    def __init__(self, instance_id: str, folder: Path) -> None:
        self._id = instance_id
        self._folder = folder
        self._sshd: Sshd | None = None
        self._metadata: MetadataService | None = None
        self._powered_off = folder / "powered-off"
        self._ended = threading.Event()

    @property
    def disk(self) -> Path:
        return self._folder / "home"

    def start(self, boot: Boot) -> int:
        variables = environment.machine_environment(self._id, self._folder)
        # Every user of this computer can connect: only the machine knows the secret path.
        path = f"/{secrets.token_urlsafe(32)}"
        self._metadata = MetadataService(boot.metadata, below=path)
        asked_at = listening_socket(boot.address, 0, listen=False)
        on_loop(self._metadata.open(asked_at))
        address, number = asked_at.getsockname()[:2]
        variables[ENDPOINT_VARIABLE] = f"http://{address}:{number}{path}"
        sshd = Sshd(
            home=self._prepare(boot, path=variables["PATH"]),
            environment=variables,
            public_key=boot.public_key,
            admits=boot.admits,
        )
        port = on_loop(sshd.open(boot.address, boot.port))
        self._sshd = sshd
        self._ended = threading.Event()
        threading.Thread(target=self._tell_power_off, args=(boot, self._ended), daemon=True).start()
        return port

    def stop(self) -> None:
        self._ended.set()
        groups: set[int] = set()
        if self._sshd is not None:
            groups = self._sshd.groups
            on_loop(self._sshd.close())
            self._sshd = None
        if self._metadata is not None:
            on_loop(self._metadata.close())
            self._metadata = None
        census.end_all(self._id, groups)

    def destroy(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.rmtree(environment.tmux_folder(self._id, self._folder), ignore_errors=True)

    def alive(self) -> bool:
        return self._sshd is not None and not self._powered_off.exists()

    def console(self) -> bytes:
        """The last output of the machine's watcher: a process machine does not boot."""
        path = environment.console(self._folder)
        return path.read_bytes()[-_CONSOLE_BYTES:] if path.exists() else b""

    def cut(self, cut: bool) -> None:
        if self._sshd is not None:
            on_loop(self._sshd.cut(cut))

    def _prepare(self, boot: Boot, *, path: str) -> Path:
        """Prepare the first boot, once: the home outlives stop and start."""
        home = self.disk
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        make_private(environment.tmux_folder(self._id, self._folder))
        environment.provide_python(self._folder)
        self._provide_poweroff()
        for name, text in _START_FILES.items():
            if not (home / name).exists():
                (home / name).write_text(text.format(path=path))
        _move_in(home, boot)
        return home

    def _provide_poweroff(self) -> None:
        self._powered_off.unlink(missing_ok=True)
        script = _POWEROFF.format(flag=self._powered_off)
        for name in environment.POWEROFF_NAMES:
            path = self._folder / "bin" / name
            path.write_text(script)
            path.chmod(0o755)

    def _tell_power_off(self, boot: Boot, ended: threading.Event) -> None:
        while not ended.wait(_LOOK_S):
            if self._powered_off.exists():
                boot.exited()
                return


def _move_in(home: Path, boot: Boot) -> None:
    """Do what cloud-init does once per instance. The disk may be an image of another instance's."""
    made_for = home / ".sshd" / "instance-id"
    before = made_for.read_text() if made_for.exists() else ""
    if before == boot.instance_id:
        return
    if before:
        _rename(home, before, boot.instance_id)
    _write_host_key(home / ".sshd", boot)
    made_for.write_text(boot.instance_id)


def _rename(home: Path, before: str, now: str) -> None:
    """Replace the id in the home's files. A real machine's home has the same path on every instance. Here its
    id is part of the path, which a virtual environment's programs have in their first line. All ids have one
    length.
    """
    for path in home.rglob("*"):
        if path.is_symlink() and before in (target := os.readlink(path)):
            path.unlink()
            path.symlink_to(target.replace(before, now))
    search = ["grep", "-rlsF", "--null", "-e", before, str(home)]
    for name in subprocess.run(search, capture_output=True, check=False).stdout.split(b"\0"):
        if name:
            path = Path(os.fsdecode(name))
            path.write_bytes(path.read_bytes().replace(before.encode(), now.encode()))


def _write_host_key(folder: Path, boot: Boot) -> None:
    """Write the key from the user data, or a random one."""
    private = folder / "ssh_host_ed25519_key"
    folder.mkdir(mode=0o700, exist_ok=True)
    private.unlink(missing_ok=True)
    given = cloud_init.host_key(boot.user_data)
    key = (
        asyncssh.import_private_key(given)
        if given is not None
        else asyncssh.generate_private_key("ssh-ed25519")
    )
    (folder / "ssh_host_ed25519_key.pub").write_bytes(key.export_public_key())
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.export_private_key())
