"""A project's packages by uv.lock and requirements.txt, beside `pip install -r` (SkyPilot's `setup:`).

All on one machine behind the system's sshd, from one folder of wheels, into new environments, with nothing
cached. uv compiles no .pyc files; pip does, unless it is asked not to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from testbed.openssh import OpenSshMachine

from gpu_box.machine import setup
from gpu_box.machine.files import upload_remote
from gpu_box.machine.setup import Desired
from gpu_box.machine.ssh.connection import Connection, connect
from gpu_box.model.machine import Host
from gpu_box.resources import remote
from gpu_box.view.progress import Silent

from .measure import clocked, in_turns, rounds
from .row import Row, Skipped, Wait

PACKAGES = ("pandas", "scikit-learn", "matplotlib", "tqdm", "rich")
_UV = Path(sysconfig.get_path("scripts")) / "uv"
# Locked for this computer alone: the folder has its wheels only.
_PROJECT = f"""
[project]
name = "mine"
version = "0"
requires-python = "=={sys.version_info[0]}.{sys.version_info[1]}.*"
dependencies = {json.dumps(PACKAGES)}
[tool.uv]
environments = ["sys_platform == '{sys.platform}'"]
"""


def rows() -> Iterator[Row]:
    wheels = _wheels()
    with tempfile.TemporaryDirectory(prefix="gpu-box-packages-") as folder:
        clean = {name: "" for name in os.environ if name.startswith(("PIP_", "UV_"))}
        with patch.dict(os.environ, {**clean, "UV_CACHE_DIR": f"{folder}/cache"}):
            machine = OpenSshMachine(Path(folder) / "machine")
            machine.start()
            try:
                yield from _measured(_Box(machine, wheels, Path(folder) / "cache"))
            finally:
                machine.stop()


def _measured(box: _Box) -> Iterator[Row]:
    measured = {
        "a lock": box.lock,
        "requirements": box.requirements,
        "pip": lambda: box.pip(),
        "pip without bytecode": lambda: box.pip("--no-compile"),
    }
    times = in_turns(measured, rounds(3))
    for what, kind in (("a lock", "`uv.lock`"), ("requirements", "`requirements.txt`")):
        ratio = times[what].against(times["pip"])
        yield Row(
            wait=Wait.PROJECT, what=f"{', '.join(PACKAGES)}: {kind}, wheels at hand", ours=str(times[what]),
            beside=f"`pip install -r` {times['pip']}, `--no-compile` {times['pip without bytecode']}",
            ratio=ratio, aim="0.25", met=ratio <= 0.25, runs=times[what].runs,
        )  # fmt: skip


class _Box:
    def __init__(self, machine: OpenSshMachine, wheels: Path, cache: Path) -> None:
        self.home, self.cache = machine.home, cache
        self.host = Host(
            name="box", address="127.0.0.1", port=machine.port, user=machine.user, key=machine.user_key,
            host_keys=(machine.public_line,),
        )  # fmt: skip
        (self.home / ".config/pip").mkdir(parents=True)
        settings = f"[global]\nno-index = true\nfind-links = {wheels}\n"
        (self.home / ".config/pip/pip.conf").write_text(settings)
        (self.home / ".local/bin").mkdir(parents=True)
        (self.home / ".local/bin/uv").symlink_to(_UV)
        (self.home / "work").mkdir()
        self.uv = {**os.environ, "UV_FIND_LINKS": str(wheels), "UV_NO_INDEX": "1"}
        with connect(self.host) as connection:
            upload_remote.upload(connection, remote())

    def lock(self) -> float:
        self._empty()
        (self.home / "work/pyproject.toml").write_text(_PROJECT)
        command = [_UV, "lock", "--quiet", "--find-links", self.uv["UV_FIND_LINKS"], "--no-index"]
        subprocess.run(command, cwd=self.home / "work", env=self.uv, check=True)
        shutil.rmtree(self.cache)
        return self._install()

    def requirements(self) -> float:
        self._empty()
        (self.home / "work/requirements.txt").write_text("\n".join(PACKAGES))
        venv = [_UV, "venv", "--quiet", "--no-project", self.home / ".gpu-box/venv"]
        subprocess.run(venv, env=self.uv, check=True)
        return self._install()

    def pip(self, *options: str) -> float:
        self._empty()
        (self.home / "work/requirements.txt").write_text("\n".join(PACKAGES))
        subprocess.run([sys.executable, "-m", "venv", self.home / "venv"], check=True)
        command = " ".join(["~/venv/bin/pip install -q", *options, "-r ~/work/requirements.txt"])
        with connect(self.host) as connection:
            return clocked(lambda: connection.run(command, timeout_s=3600))

    def _install(self) -> float:
        with connect(self.host) as connection:
            return clocked(lambda: self._apply(connection))

    def _apply(self, connection: Connection) -> None:
        setup.apply_project(connection, Desired(remote=remote()), Silent())

    def _empty(self) -> None:
        for each in ("venv", ".gpu-box/venv", ".gpu-box/project-venv", ".gpu-box/steps", ".cache"):
            shutil.rmtree(self.home / each, ignore_errors=True)
        shutil.rmtree(self.cache, ignore_errors=True)
        for each in ("pyproject.toml", "uv.lock", "requirements.txt"):
            (self.home / "work" / each).unlink(missing_ok=True)


def _wheels() -> Path:
    """All wheels, downloaded once."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "gpu-box" / "benchmarks" / "project-wheels"
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder, "--only-binary", ":all:"]
    done = subprocess.run([*words, *PACKAGES, "ipykernel"], capture_output=True, text=True)
    if done.returncode:
        raise Skipped(f"the packages cannot be downloaded: {done.stderr.strip().splitlines()[-1]}")
    return folder
