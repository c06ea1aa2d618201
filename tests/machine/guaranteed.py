"""A real machine with the stop guarantee armed at thresholds of seconds, and hands to do things to it."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gpu_box.aws.userdata import render_user_data
from gpu_box.config import Config
from gpu_box.embedded.machine import Boot
from gpu_box.embedded.nspawn import NspawnMachine
from gpu_box.embedded.root_image import root_image
from gpu_box.resources import remote

IDLE = 20  # s; a terminal's stamp of its last input has a grain of 8 s
STUCK = 15
POLICY = {
    "idle_after": IDLE,
    "stuck_after": STUCK,
    "settle": 0,
    "interval": 1,
    "slow": 2,
    "probe_timeout": 2,
    "window": 3,
    "gpu_window": 4,
    "warn": "8,3",
    "guard_after": 15,
}


class Box:
    """A running machine. `ssh` runs a command in it as its login user."""

    def __init__(self, folder: Path, *, fuse: str = "1800s") -> None:
        self._folder = folder
        self._id = f"i-{uuid.uuid4().hex[:17]}"
        self._off = threading.Event()
        self._fuse = fuse
        self.root = folder / "machine" / "root"
        self._machine = NspawnMachine(root_image(), self._id, folder / "machine")
        self._key = folder / "key"
        self._sessions: list[subprocess.Popen[bytes]] = []
        self._port = 0

    def start(self) -> None:
        key, host = _key(), _key()
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "machine").mkdir(exist_ok=True)
        self._key.write_text(key[0])
        self._key.chmod(0o600)
        document = render_user_data(Config(), host_private_key=host[0], host_public_key=host[1])
        boot = Boot(
            instance_id=self._id,
            address="127.0.0.1",
            port=0,
            public_key=key[1],
            user_data=document.replace("span=1800s", f"span={self._fuse}").encode(),
            admits=lambda peer: True,
            exited=self._off.set,
        )
        self._port = self._machine.start(boot)
        (self._folder / "known").write_text(f"[127.0.0.1]:{self._port} {host[1]}\n")

    def wait_for_ssh(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while self.ssh("true", check=False).returncode:
            assert time.monotonic() < deadline, self._machine.console().decode(errors="replace")[-2000:]
            time.sleep(0.3)
        # sshd answers before cloud-init is through with it, and is then started again.
        self.ssh("cloud-init status --wait", check=False)

    def arm(self, **policy: Any) -> None:
        """What set-up does first: the watch folder over SSH, and install."""
        self.wait_for_ssh()
        self.ssh("mkdir -p .gpu-box/remote && tar -x -C .gpu-box/remote", input=_watch_folder())
        settings = " ".join(f"{key}={value}" for key, value in {**POLICY, **policy}.items())
        said = self.ssh(f"cd .gpu-box/remote && python3 -m watch install {settings}").stdout
        assert "watcher: armed" in said and "guard: armed" in said and "fuse: armed" in said, said
        deadline = time.monotonic() + 20
        while self.ssh("gpu-box-watch healthy", check=False).returncode:
            assert time.monotonic() < deadline, self.ssh("gpu-box-watch status", check=False).stdout
            time.sleep(0.3)

    def ssh(
        self, command: str, *, check: bool = True, seconds: float = 60, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self._argv(), command], capture_output=True, timeout=seconds, **_text(options)
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        return done

    def session(self, *argv: str) -> subprocess.Popen[bytes]:
        """`ssh` with these further words, left open; its input is a pipe."""
        words = [word for word in argv if word.startswith("-")], [w for w in argv if not w.startswith("-")]
        process = subprocess.Popen(
            [*self._argv(*words[0]), *words[1]],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._sessions.append(process)
        return process

    def status(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.ssh("gpu-box-watch status --json").stdout)
        return shown

    def off_within(self, seconds: float) -> bool:
        return self._off.wait(seconds)

    def stopped(self) -> dict[str, Any]:
        """Why, as its disk says once it is off: what the next `status` shows."""
        disk = self._folder / "machine" / "changes"
        saved = disk / "saved/stopped.json"
        path = saved if saved.exists() else disk / "var/lib/gpu-box/watch/stopped.json"
        why: dict[str, Any] = json.loads(path.read_text())
        return why

    def console(self) -> str:
        return self._machine.console().decode(errors="replace")

    def destroy(self) -> None:
        for session in self._sessions:
            session.kill()
            session.wait(10)
            if session.stdin:
                with contextlib.suppress(BrokenPipeError):
                    session.stdin.close()
        self._machine.stop()  # in good order: what is killed leaves its lock file behind
        self._machine.destroy()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _argv(self, *options: str) -> list[str]:
        return [
            "ssh", "-F", "none", "-i", str(self._key), "-p", str(self._port), "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={self._folder / 'known'}", "-o", "ConnectTimeout=5",
            "-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=5", *options, "ubuntu@127.0.0.1",
        ]  # fmt: skip


@contextlib.contextmanager
def running(folder: Path, **options: Any) -> Iterator[Box]:
    box = Box(folder, **options)
    try:
        box.start()
        yield box
    finally:
        box.destroy()


def _key() -> tuple[str, str]:
    """(PEM, OpenSSH line)."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _watch_folder() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(
            remote() / "watch", "watch", filter=lambda info: None if "__pycache__" in info.name else info
        )
    return buffer.getvalue()


def _text(options: dict[str, Any]) -> dict[str, Any]:
    """Text out, and text in unless the input is bytes."""
    if isinstance(options.get("input"), bytes):
        return {**options, "input": options["input"].decode("latin-1"), "encoding": "latin-1"}
    return {**options, "text": True}
