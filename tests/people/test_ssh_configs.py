"""~/.ssh/config as people have it: kept byte for byte beside our line, and as it was after `down`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_box.errors import InputError
from gpu_box.machine.ssh import ssh_config
from gpu_box.model.machine import Host

HOST = Host(name="box", address="192.0.2.1", port=2222, user="me", key=Path("/k"), host_keys=())
# asyncssh#118, and relatives: whatever OpenSSH reads
SHAPES = {
    "Latin-1": b"# Andr\xe9\nHost work\n  User me\n",
    "UTF-8": "# Тест\nHost work\n  User me\n".encode(),
    "CRLF": b"Host work\r\n  User me\r\n",
    "no final newline": b"Host work\n  User me",
    "empty": b"",
    "blank lines": b"\n\n\nHost work\n  User me\n\n\n",
    "a blank": b"\n",
    "form feed": b"Host work\x0c\n  User me\n",
    "line separators of Unicode": "# a\u2028b\x85c\nHost work\n  User me\n".encode(),
    "tabs and equals signs": b"Host=work\n\tUser = me\n",
    "one long line": b"Host work " + b"x" * 100_000 + b"\n  User me\n",
    "Match first": b"Match host work\n  User me\nHost *\n  ServerAliveInterval 5\n",
    # paramiko#2522, paramiko#2339, sshping#211
    "Match with an equals sign": b"Match host=work\n  User me\n",
    "Match all before Include": b"Host work\n  User me\nMatch all\nInclude ~/.ssh/config.local\n",
    "Match exec first": b'Match host * exec "true"\n  User me\n',
    "all of it for every host": b"Host *\n  User someone\n  HostName nowhere.invalid\n  Port 1\n",
    "only options": b"User me\n",
}


@pytest.fixture
def config(_own_home: Path) -> Path:
    (_own_home / ".ssh").mkdir(mode=0o700)
    return _own_home / ".ssh" / "config"


def effective(config: Path, name: str) -> dict[str, str]:
    """What the system's ssh would use."""
    done = subprocess.run(["ssh", "-G", "-F", config, name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_kept_byte_for_byte_and_restored(config: Path, shape: str) -> None:
    theirs = SHAPES[shape]
    config.write_bytes(theirs)
    config.chmod(0o640)
    before = effective(config, "work")
    for _ in range(2):
        ssh_config.write(HOST)
        assert config.read_bytes().endswith(theirs)
        assert config.read_bytes().count(b"gpu-box.d") == 1
    found = effective(config, "box")
    assert (found["hostname"], found["port"], found["user"]) == ("192.0.2.1", "2222", "me")
    assert effective(config, "work") == before
    ssh_config.remove("box")
    assert config.read_bytes() == theirs
    assert config.stat().st_mode & 0o777 == 0o640


# asyncssh#118: a dangling link, as dotfiles leave it on a new laptop
@pytest.mark.parametrize("target", ["dotfiles-config", "../dotfiles/ssh/config"])
def test_a_dangling_link_is_filled_and_left_dangling(config: Path, target: str) -> None:
    config.symlink_to(target)
    ssh_config.write(HOST)
    assert effective(config, "box")["hostname"] == "192.0.2.1"
    ssh_config.remove("box")
    assert os.readlink(config) == target
    assert not config.exists()


def test_without_one_nothing_is_left_and_the_folder_is_private(_own_home: Path) -> None:
    before = os.umask(0o002)
    try:
        ssh_config.write(HOST)
    finally:
        os.umask(before)
    assert (_own_home / ".ssh").stat().st_mode & 0o777 == 0o700
    ssh_config.remove("box")
    assert not (_own_home / ".ssh" / "config").exists()


def test_a_dangling_ssh_folder_is_made_private(_own_home: Path) -> None:
    (_own_home / ".ssh").symlink_to("dot-ssh")
    ssh_config.write(HOST)
    assert (_own_home / "dot-ssh").stat().st_mode & 0o777 == 0o700


def test_a_line_that_was_moved_by_hand_goes_too(config: Path) -> None:
    config.write_bytes(b"Host work\n  User Andr\xe9\n")
    ssh_config.write(HOST)
    ours, rest = config.read_bytes().split(b"\n\n", 1)
    config.write_bytes(b"# first\n" + ours + b"\n" + rest)
    ssh_config.write(HOST)
    ssh_config.remove("box")
    assert config.read_bytes() == b"# first\n" + rest


# A relative: the path of the key is no UTF-8
def test_a_key_in_a_folder_that_is_no_utf_8(config: Path) -> None:
    folder = os.fsdecode(b"Andr\xe9")
    odd = Host(name="odd", address="192.0.2.1", port=1, user="me", key=Path(f"/{folder}/key"), host_keys=())
    ssh_config.write(odd)
    assert b"Andr\xe9" in (config.parent / "gpu-box.d" / "odd.conf").read_bytes()


def locked(path: Path, mode: int) -> Callable[[], None]:
    """Take the permission to write, from root too; returns what gives it back."""
    path.chmod(mode)
    if os.geteuid() == 0 and subprocess.run(["chattr", "+i", path]).returncode != 0:
        pytest.skip("nothing here can be read-only for root")
    return lambda: _unlock(path)


def _unlock(path: Path) -> None:
    if os.geteuid() == 0:
        subprocess.run(["chattr", "-i", path], check=True)
    path.chmod(0o700)


# Found beside asyncssh#118: a ~/.ssh that cannot be written, as configuration managers leave it
@pytest.mark.parametrize("which", [".ssh", ".ssh/gpu-box.d", ".", "dotfiles"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_made(
    _own_home: Path, which: str
) -> None:
    folder = _own_home / which
    folder.mkdir(parents=True, exist_ok=True)
    if which == "dotfiles":
        (folder / "config").write_text("Host work\n")
        (_own_home / ".ssh").mkdir()
        (_own_home / ".ssh" / "config").symlink_to(folder / "config")
    else:
        ssh_config.require_writable()
    unlock = locked(folder, 0o500)
    try:
        with pytest.raises(InputError, match="cannot be written") as raised:
            ssh_config.require_writable()
        with pytest.raises(InputError):
            ssh_config.write(HOST)
    finally:
        unlock()
    assert "ssh.config: false" in str(raised.value.remedy)
    ssh_config.require_writable()


def test_a_folder_with_our_line_in_a_read_only_dotfile_will_do(_own_home: Path) -> None:
    (_own_home / "dotfiles").mkdir()
    (_own_home / ".ssh").mkdir()
    (_own_home / ".ssh" / "config").symlink_to(_own_home / "dotfiles" / "config")
    ssh_config.write(HOST)
    unlock = locked(_own_home / "dotfiles", 0o500)
    try:
        ssh_config.require_writable()
        ssh_config.write(HOST)
    finally:
        unlock()
