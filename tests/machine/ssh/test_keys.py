from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gpu_box.errors import InputError
from gpu_box.machine.ssh import keys

from ... import needs


def ssh_keygen(*arguments: str) -> str:
    return subprocess.run(["ssh-keygen", *arguments], capture_output=True, text=True, check=True).stdout


def test_a_missing_key_pair_is_made_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "ssh" / "gpu-box"
    public = keys.ensure_key_pair(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.with_name("gpu-box.pub").read_text().startswith(public.line)
    assert ssh_keygen("-y", "-f", str(path)).startswith(public.line)
    assert ssh_keygen("-l", "-f", str(path)).split()[1] == public.fingerprint
    assert sorted(p.name for p in path.parent.iterdir()) == ["gpu-box", "gpu-box.pub"]


def test_an_existing_key_pair_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = keys.ensure_key_pair(path)
    content = path.read_bytes()
    assert keys.ensure_key_pair(path) == made
    assert path.read_bytes() == content
    assert keys.read_public_line(path) == made.line
    assert keys.read_public_line(tmp_path / "other") is None


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_keys_of_ssh_keygen_serve(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "key"
    ssh_keygen("-q", "-t", kind, "-N", "", "-f", str(path))
    assert path.with_name("key.pub").read_text().startswith(keys.ensure_key_pair(path).line)


def test_a_key_that_others_can_read_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keys.ensure_key_pair(path)
    path.chmod(0o644)
    with pytest.raises(InputError, match="mode 0644") as refused:
        keys.ensure_key_pair(path)
    assert refused.value.remedy == f"Run: chmod 600 {path}"


def test_a_key_with_a_passphrase_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    ssh_keygen("-q", "-t", "ed25519", "-N", "secret", "-f", str(path))
    with pytest.raises(InputError, match="passphrase"):
        keys.ensure_key_pair(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not a private"), (b"nonsense", "not a private"), (b"ssh-ed25519 AAAA me", "public key")],
)
def test_a_file_that_is_no_key_is_refused_and_left_alone(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InputError, match=message):
        keys.ensure_key_pair(path)
    assert path.read_bytes() == content


def test_a_folder_and_a_kind_that_ec2_does_not_take_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder"):
        keys.ensure_key_pair(tmp_path)
    ssh_keygen("-q", "-t", "ecdsa", "-N", "", "-f", str(tmp_path / "ecdsa"))
    with pytest.raises(InputError, match="EC2"):
        keys.ensure_key_pair(tmp_path / "ecdsa")


@needs.ordinary_user
def test_an_unreadable_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keys.ensure_key_pair(path)
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        keys.ensure_key_pair(path)


def test_the_first_host_key_is_the_same_bytes_each_time_and_openssh_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keys.ensure_key_pair(path)
    first = keys.first_host_key(path, "gpu-box", "g1")
    assert keys.first_host_key(path, "gpu-box", "g1") == first
    pem = tmp_path / "host_key"
    pem.write_text(first.private_openssh_pem)
    pem.chmod(0o600)
    assert ssh_keygen("-y", "-f", str(pem)).split()[:2] == first.public_line.split()


def test_the_first_host_key_does_not_depend_on_the_format_of_the_key_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keys.ensure_key_pair(path)
    private = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    assert isinstance(private, Ed25519PrivateKey)
    other = tmp_path / "other"
    other.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    other.chmod(0o600)
    assert keys.first_host_key(other, "b", "g") == keys.first_host_key(path, "b", "g")


def test_another_box_generation_or_user_has_another_first_host_key(tmp_path: Path) -> None:
    mine, yours = tmp_path / "mine", tmp_path / "yours"
    for path in (mine, yours):
        keys.ensure_key_pair(path)
    made = [(mine, "box", "g1"), (mine, "box", "g2"), (mine, "bo", "xg1"), (yours, "box", "g1")]
    assert len({keys.first_host_key(*each).public_line for each in made}) == len(made)
