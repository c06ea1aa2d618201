"""A machine behind the system's sshd: a home folder and an address on loopback, without root.

sshd sets HOME for each session, but the working folder is the login's, so tests must not depend on it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from . import programs

SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server", "/usr/lib/ssh/sftp-server")


class OpenSshMachine:
    def __init__(self, folder: Path, *, path: str | None = None, sftp: bool = True) -> None:
        """path: PATH of its sessions, to hide programs. Skips the test without sshd."""
        if missing := programs.missing("sshd", "ssh-keygen", "ps"):
            pytest.skip(missing)
        found = next((server for server in SFTP_SERVERS if Path(server).exists()), None)
        if found is None:
            pytest.skip("needs sftp-server")
        self._sftp_server = found
        self.folder, self.home, self.sshd_dir = folder, folder / "home", folder / "sshd"
        for made in (self.home, self.sshd_dir, folder / "tmux"):
            made.mkdir(parents=True)
        self.user_key = folder / "user_key"
        self._host_key = self.sshd_dir / "ssh_host_ed25519_key"
        for key in (self.user_key, self._host_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        self.port = free_port()
        self.user = getpass.getuser()
        self._write_config(path or os.environ["PATH"], sftp)
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def public_line(self) -> str:
        return " ".join((self.sshd_dir / "ssh_host_ed25519_key.pub").read_text().split()[:2])

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        log = (self.folder / "sshd.log").open("ab")
        with log:
            self._server = subprocess.Popen(
                [programs.find("sshd") or "", "-D", "-e", "-f", str(self.folder / "sshd_config")],
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError((self.folder / "sshd.log").read_text())

    def move(self, port: int) -> None:
        """Restart at another address."""
        config = self.folder / "sshd_config"
        config.write_text(config.read_text().replace(f"127.0.0.1:{self.port}\n", f"127.0.0.1:{port}\n"))
        self.port = port
        self.start()

    def reload_host_keys(self) -> None:
        assert self._server
        self._server.send_signal(signal.SIGHUP)
        time.sleep(0.3)

    def cut_connections(self) -> None:
        """Kill the processes of open connections, like a broken network; the listener stays."""
        for session in self._sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(session, signal.SIGKILL)

    def stop(self) -> None:
        if self._server and self._server.poll() is None:
            self._server.send_signal(signal.SIGSTOP)  # it serves none that comes back at once
            self.cut_connections()
            self._server.kill()
            self._server.wait()
        marker = f"GPU_BOX_TEST_MACHINE={self.folder}".encode()
        for environment in Path("/proc").glob("[0-9]*/environ"):
            try:
                if marker in environment.read_bytes():
                    os.kill(int(environment.parent.name), signal.SIGKILL)
            except OSError:
                continue

    def _sessions(self) -> list[int]:
        assert self._server
        found, parents = [], [self._server.pid]
        table = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True)
        rows = [line.split(None, 2) for line in table.stdout.splitlines()]
        while parents:
            children = [int(p) for p, pp, comm in rows if int(pp) in parents and comm.startswith("sshd")]
            found += children
            parents = children
        return found

    def _write_config(self, path: str, sftp: bool) -> None:
        authorized = self.folder / "authorized_keys"
        authorized.write_text((self.folder / "user_key.pub").read_text())
        passed_on = " ".join(
            f'"{name}={value}"'
            for name, value in {
                "HOME": str(self.home),
                "PATH": path,
                "GPU_BOX_SSHD_DIR": str(self.sshd_dir),
                "GPU_BOX_TEST_MACHINE": str(self.folder),
                "GPU_BOX_MACHINE": "i-test",  # it shares its host, which must not be powered off
                "TMUX_TMPDIR": str(self.folder / "tmux"),
                "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")),
                **{k: v for k, v in os.environ.items() if k.startswith(("PIP_", "UV_", "SSL_CERT")) and v},
            }.items()
        )
        (self.folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {self._host_key}\nPidFile none\n"
            f"AuthorizedKeysFile {authorized}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f"PermitRootLogin prohibit-password\nMaxStartups 100\nSetEnv {passed_on}\n"
            + (f"Subsystem sftp {self._sftp_server}\n" if sftp else "")
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
