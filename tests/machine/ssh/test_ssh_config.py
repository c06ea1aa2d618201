from __future__ import annotations

import os
import stat
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine, free_port

from gpu_box.errors import InputError
from gpu_box.machine.ssh import attach, keys, ssh_config
from gpu_box.model.machine import Host

from ... import needs
from ..conftest import host_of

USERS = "# mine\nHost work\n    User me\n\tPort 2222\n\nHost *\n    ForwardAgent yes\n"


@pytest.fixture
def host(shared_machine: OpenSshMachine) -> Host:
    return host_of(shared_machine)


def ssh(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ssh", "-F", str(config), *words], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def config_of(home: Path) -> Path:
    return home / ".ssh" / "config"


def close_shared(home: Path, name: str) -> None:
    ssh(config_of(home), "-O", "exit", name)


def test_plain_ssh_reaches_the_box_by_its_name(host: Host, home: Path) -> None:
    ssh_config.write(host)
    result = ssh(config_of(home), "box", "echo $HOME")
    close_shared(home, "box")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("machine/home")


@needs.rsync
def test_git_scp_rsync_and_an_editor_s_server_reach_it_by_its_name(
    host: Host, home: Path, tmp_path: Path
) -> None:
    ssh_config.write(host)
    there = ssh(config_of(home), "box", "echo $HOME").stdout.strip()
    plain = f"ssh -F {config_of(home)}"
    (tmp_path / "work").mkdir()
    script = f"""set -eu
    cd {tmp_path}/work
    export GIT_SSH_COMMAND='{plain}' GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0
    git init --quiet --initial-branch=main .
    echo print > train.py && git add train.py
    git -c user.name=ada -c user.email=ada@example.org commit --quiet --message=first
    {plain} box git init --quiet --bare --initial-branch=main {there}/lesson.git
    git push --quiet box:{there}/lesson.git main
    git ls-remote box:{there}/lesson.git main
    scp -q -F {config_of(home)} train.py box:{there}/by-scp.py
    rsync --archive --rsh='{plain}' train.py box:{there}/by-rsync.py
    echo 'cat "$HOME"/by-*.py' | {plain} -T -D 127.0.0.1:{free_port()} box sh
    """  # the last as editors do it: a shell without a terminal, and a SOCKS port for what it starts
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    close_shared(home, "box")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1:] == ["refs/heads/main", "print", "print"]


def test_another_host_key_is_refused_by_plain_ssh(host: Host, home: Path) -> None:
    stranger = keys.first_host_key(host.key, "x", "y").public_line
    ssh_config.write(replace(host, host_keys=(stranger,)))
    result = ssh(config_of(home), "box", "true")
    assert result.returncode == 255
    assert "HOST IDENTIFICATION HAS CHANGED" in result.stderr


def test_the_users_own_lines_are_untouched(host: Host, home: Path) -> None:
    config = config_of(home)
    config.parent.mkdir(mode=0o700)
    config.write_text(USERS)
    config.chmod(0o644)
    ssh_config.write(host)
    ssh_config.write(replace(host, name="second"))
    ssh_config.write(host)
    text = config.read_text()
    assert text.count("gpu-box.d") == 1
    assert text.splitlines()[0].startswith("Include")
    assert text.endswith(USERS)
    assert stat.S_IMODE(config.stat().st_mode) == 0o644
    assert "port 2222" in ssh(config, "-G", "work").stdout
    ssh_config.remove("box")
    assert "Include" in config.read_text()
    ssh_config.remove("second")
    ssh_config.remove("second")
    assert config.read_text() == USERS


def test_without_a_config_of_the_users_nothing_is_left(host: Host, home: Path) -> None:
    ssh_config.write(host)
    assert stat.S_IMODE(config_of(home).stat().st_mode) == 0o600
    assert stat.S_IMODE((home / ".ssh/gpu-box.d").stat().st_mode) == 0o700
    ssh_config.remove("box")
    assert not config_of(home).exists()
    assert [p.name for p in (home / ".ssh/gpu-box.d").iterdir()] == [".lock"]


def test_a_linked_config_stays_a_link(host: Host, home: Path) -> None:
    dotfiles = home / "dotfiles"
    dotfiles.write_text(USERS)
    config_of(home).parent.mkdir()
    config_of(home).symlink_to(dotfiles)
    ssh_config.write(host)
    assert config_of(home).is_symlink()
    assert dotfiles.read_text().endswith(USERS)


def test_many_at_once_include_it_once(host: Host, home: Path) -> None:
    config_of(home).parent.mkdir()
    config_of(home).write_text(USERS)
    threads = [
        threading.Thread(target=ssh_config.write, args=(replace(host, name=f"box{i}"),)) for i in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert config_of(home).read_text().count("Include") == 1
    assert len(list((home / ".ssh/gpu-box.d").glob("*.conf"))) == 12


def test_a_folder_that_cannot_be_written_says_what_to_do(host: Host, home: Path) -> None:
    (home / ".ssh").write_text("a file, not a folder")
    with pytest.raises(InputError, match="ssh.config: false"):
        ssh_config.write(host)


def test_odd_characters_in_paths_are_quoted(host: Host, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = home / "with space %h"
    odd.mkdir()
    monkeypatch.setenv("GPU_BOX_HOME", str(odd))
    key = odd / "key"
    key.write_bytes(host.key.read_bytes())
    key.chmod(0o600)
    command = attach.ssh_command(replace(host, key=key), ["echo", "a b"], tty=False)
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (result.stdout, result.returncode) == ("a b\n", 0), result.stderr


def test_attaching_needs_no_config_of_the_users(host: Host, home: Path) -> None:
    def said(argv: list[str], tty: bool = False) -> str:
        command = attach.ssh_command(host, argv, tty=tty)
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout

    assert said(["echo $((1 + 1))"]) == "2\n"
    assert said(["echo", "$HOME", "a  b"]) == "$HOME a  b\n"
    assert "-t" in attach.ssh_command(host, [], tty=True)
    assert not config_of(home).exists()


def test_attaching_verifies_the_host_key(host: Host) -> None:
    stranger = keys.first_host_key(host.key, "x", "y").public_line
    command = attach.ssh_command(replace(host, host_keys=(stranger,)), ["true"], tty=False)
    assert subprocess.run(command, capture_output=True).returncode == 255


@pytest.mark.parametrize("how", ["a link", "open to all", "a file"])
def test_connections_are_not_shared_in_a_folder_that_another_account_could_swap(
    host: Host, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """ssh_config(5), ControlPath: "not writable by other users"."""
    temporary, mine = tmp_path / "tmp", tmp_path / "mine"
    temporary.mkdir()
    mine.mkdir(mode=0o700)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("HOME", str(home / ("long" * 25)))
    place = temporary / f"gpu-box-{os.getuid()}"
    if how == "a link":
        place.symlink_to(mine)
    elif how == "open to all":
        place.mkdir()
        place.chmod(0o777)
    else:
        place.write_text("")
    with pytest.raises(InputError) as refused:
        ssh_config.write(host)
    assert "\n" not in str(refused.value) and str(temporary) in str(refused.value)
    place.rmdir() if how == "open to all" else place.unlink()
    ssh_config.write(host)
    assert place.lstat().st_mode & 0o777 == 0o700


def test_gpu_box_s_own_ssh_config_is_in_the_user_s_data_folder(
    host: Host, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XDG Base Directory Specification: a relative path is invalid and ignored."""
    monkeypatch.delenv("GPU_BOX_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert ssh_config.private_config(host) == tmp_path / "data/gpu-box/ssh/box.conf"
    assert ssh_config.known() == ["box"]
    for other in ("", "relative"):
        monkeypatch.setenv("XDG_DATA_HOME", other)
        assert ssh_config.private_config(host) == home / ".local/share/gpu-box/ssh/box.conf"
