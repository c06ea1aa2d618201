"""The system's OpenSSH client with a pinned host key and without the developer's configuration."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from .cloud import PORT_TAG, Cloud, KeyFile, wait_until


@dataclass(frozen=True)
class Ssh:
    address: str
    port: int
    key: KeyFile
    known_hosts: Path
    user: str = "ubuntu"

    def options(self) -> list[str]:
        return [
            "-F", "none", "-i", str(self.key.path), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={self.known_hosts}",
            "-o", "GlobalKnownHostsFile=/dev/null", "-o", "ConnectTimeout=10",
        ]  # fmt: skip

    def command(self, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
        target = f"{self.user}@{self.address}"
        # The first value of an option counts.
        return ["ssh", *options, *self.options(), "-p", str(self.port), target, *arguments]

    def run(
        self, command: str, *, sent: bytes = b"", options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command(command, options=options), input=sent, capture_output=True, timeout=240
        )

    def says(self, command: str) -> str:
        done = self.run(command)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().strip()

    def pin(self, public_key: str) -> None:
        kind, key = public_key.split()[:2]
        self.known_hosts.write_text(f"[{self.address}]:{self.port} {kind} {key}\n")


def reach(cloud: Cloud, instance: str, key: KeyFile, *, host_key: str | None = None) -> Ssh:
    """A client for this instance. host_key: OpenSSH line; by default the one in the machine's folder."""
    wait_until(lambda: cloud.tag(instance, PORT_TAG) is not None)
    seen, port = cloud.see(instance), cloud.tag(instance, PORT_TAG)
    assert port is not None
    ssh = Ssh(seen["PublicIpAddress"], int(port), key, key.path.with_name(f"known-{instance}"))
    folder = cloud.machine_folder(instance) / "home" / ".sshd"
    ssh.pin(host_key or (folder / "ssh_host_ed25519_key.pub").read_text())
    return ssh
