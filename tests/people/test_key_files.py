"""Private key files as people have them: used, or refused in a line before anything is launched."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.errors import InputError
from gpu_box.machine.ssh import attach, key_file, keys, ssh_config
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.machine import Host
from gpu_box.store.files import data_home

from .. import needs

BAG = b"Bag Attributes\n    friendlyName: mine\nKey Attributes: <No Attributes>\n"
# paramiko#1015, phpseclib#1698, and relatives
SHAPES: dict[str, Callable[[bytes], bytes]] = {
    "as it was made": lambda key: key,
    "no final newline": lambda key: key.rstrip(b"\n"),
    "CRLF": lambda key: key.replace(b"\n", b"\r\n"),
    "byte order mark": lambda key: b"\xef\xbb\xbf" + key,
    "UTF-16": lambda key: key.decode().encode("utf-16"),
    "indented": lambda key: b"    " + key.replace(b"\n", b"\n    "),
    "blank lines first": lambda key: b"\n\n" + key,
    "blanks at line ends": lambda key: key.replace(b"\n", b" \n"),
    "bag attributes": lambda key: BAG + key,
    "a public key behind it": lambda key: key + b"ssh-ed25519 AAAA mine\n",
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSshMachine]:
    one = OpenSshMachine(tmp_path_factory.mktemp("keys") / "machine")
    one.start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, machine: OpenSshMachine) -> dict[str, bytes]:
    """A key of each kind, all of which the machine lets in."""
    needs.require_programs("openssl")
    folder = tmp_path_factory.mktemp("made")
    for name, command in {
        "ed25519": "ssh-keygen -q -t ed25519 -N '' -f ed25519",
        "RSA": "ssh-keygen -q -t rsa -b 2048 -N '' -f RSA",
        "RSA, PEM": "ssh-keygen -q -m PEM -t rsa -b 2048 -N '' -f 'RSA, PEM'",
        "RSA, PKCS8": "openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out 'RSA, PKCS8'",
        "ed25519, PKCS8": "openssl genpkey -algorithm ed25519 -out 'ed25519, PKCS8'",
    }.items():
        subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True)
        (folder / name).chmod(0o600)
        with (machine.folder / "authorized_keys").open("a") as admitted:
            admitted.write(keys.read_key_pair(folder / name).line + "\n")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".pub"}


def host_with(key: Path, machine: OpenSshMachine) -> Host:
    return Host(
        name="box",
        address="127.0.0.1",
        port=machine.port,
        user=machine.user,
        key=key,
        host_keys=(machine.public_line,),
    )


@pytest.mark.parametrize("kind", ["ed25519", "RSA", "RSA, PEM", "RSA, PKCS8", "ed25519, PKCS8"])
def test_openssh_reads_a_key_in_any_shape(made: dict[str, bytes], kind: str, tmp_path: Path) -> None:
    for number, (shape, change) in enumerate(SHAPES.items()):
        path = tmp_path / f"key {number}"
        path.touch(mode=0o600)
        path.write_bytes(change(made[kind]))
        used = key_file.for_openssh(path, tmp_path / "copy")
        said = subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", used], capture_output=True, text=True)
        assert said.stdout.split()[:2] == keys.read_key_pair(path).line.split(), f"{shape}: {said.stderr}"


@pytest.mark.parametrize("kind", ["ed25519, PKCS8", "RSA, PKCS8"])
def test_such_a_key_opens_the_box_by_both_ways(
    machine: OpenSshMachine, made: dict[str, bytes], kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(made[kind].replace(b"\n", b"\r\n"))
    with connect(host_with(path, machine)) as connection:
        assert connection.run("echo in").stdout == "in\n"
    command = attach.ssh_command(host_with(path, machine), ["echo in"], tty=False)
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.stdout == "in\n", done.stderr


def test_down_removes_the_copy_of_a_key(made: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_bytes(made["ed25519"].rstrip())
    host = Host(name="box", address="127.0.0.1", port=1, user="me", key=tmp_path / "key", host_keys=())
    ssh_config.private_config(host)
    copy = data_home() / "ssh" / "box.key"
    assert copy.stat().st_mode & 0o777 == 0o600
    ssh_config.remove("box")
    assert not copy.exists()


def refusal(path: Path) -> str:
    path.chmod(0o600)
    with pytest.raises(InputError) as refused:
        keys.ensure_key_pair(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_passphrase_is_refused_with_the_line_that_removes_it(tmp_path: Path) -> None:
    path = tmp_path / "my key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", path], check=True)
    assert refusal(path).endswith(f"ssh-keygen -p -N '' -f '{path}'")


# A relative: PuTTY's own format, a public key, a key on a security key, one cut off
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n", "puttygen "),
        (b"\xef\xbb\xbfssh-ed25519 AAAA me\r\n", "this is a public key"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n", "this is not a private SSH key"),
        (b"", "this is not a private SSH key"),
    ],
)
def test_what_is_no_private_key_is_refused_by_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "key").write_bytes(content)
    assert said in refusal(tmp_path / "key")


# A relative: `chmod 600 /etc/passwd` or `chmod 600 /dev/null` would damage the computer
def test_chmod_is_advised_for_a_private_key_alone(made: dict[str, bytes], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    files = {
        "mine": (made["ed25519"], f"Run: chmod 600 {tmp_path}/mine"),
        "mine.pub": (b"ssh-ed25519 AAAA me\n", "this is a public key"),
        "passwd": (b"root:x:0:0:root:/root:/bin/bash\n", "this is not a private SSH key"),
    }
    for name, (content, said) in files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o644)
        with pytest.raises(InputError, match=re.escape(said)):
            keys.ensure_key_pair(tmp_path / name)
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(InputError, match="the SSH key is no regular file"):
            keys.ensure_key_pair(path)


def test_no_private_key_is_made_under_the_name_of_a_public_one(tmp_path: Path) -> None:
    for ask in (keys.ensure_key_pair, keys.read_public_line):
        with pytest.raises(InputError, match=re.escape(f"Set ssh.key to the private key: {tmp_path}/new")):
            ask(tmp_path / "new.pub")
    assert not list(tmp_path.iterdir())


def test_a_security_key_is_refused_by_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    kind = keys._string(b"sk-ssh-ed25519@openssh.com")
    public = kind + keys._string(bytes(32)) + keys._string(b"ssh:")
    blob = b"openssh-key-v1\0" + keys._string(b"none") * 2 + keys._string(b"") + b"\0\0\0\1"
    blob += keys._string(public) + keys._string(bytes(64))
    text = base64.encodebytes(blob).decode()
    path.write_text(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{text}-----END OPENSSH PRIVATE KEY-----\n")
    assert "security key" in refusal(path)
