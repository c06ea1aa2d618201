"""A box for a whole file of tests: embedded cloud, machine, our code on it; no Python environment."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from ipaddress import ip_network
from pathlib import Path
from typing import IO

import pytest

from gpu_box.box import enter
from gpu_box.config.model import Config, Network, Ssh
from gpu_box.machine.files import upload_remote
from gpu_box.resources import remote

from ..aws.conftest import Laptop
from ..faults.apart import impatient
from ..user import COMMAND, User


@dataclass
class Started:
    process: subprocess.Popen[bytes]

    @property
    def out(self) -> BufferedReader:
        assert isinstance(self.process.stdout, BufferedReader)
        return self.process.stdout

    def end(self) -> tuple[int, str]:
        """Exit status and standard error."""
        assert self.process.stderr
        return self.process.wait(120), self.process.stderr.read().decode()


@dataclass
class Desk(User):
    """A person in their project's folder, with a box that is up; `home`: of the box's machine."""

    home: Path = Path()

    @contextmanager
    def started(self, *words: str, stdout: int | IO[bytes] = subprocess.PIPE) -> Iterator[Started]:
        """The command while it runs; ended at the end of the block."""
        with subprocess.Popen(
            [COMMAND, *self.cloud, *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                yield Started(process)
            finally:
                process.kill()

    def sync(self, *words: str, expect: int = 0) -> str:
        """What `sync` says."""
        done = self.run("sync", *words, expect=expect)
        return done.stdout + done.stderr

    @property
    def work(self) -> Path:
        return self.home / "work"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, embedded_exports: dict[str, str]) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("project")
    name = f"box-{secrets.token_hex(4)}"
    (folder / "config.yaml").write_text(
        f"name: {name}\nregion: us-east-1\nssh: {{key: ./key, config: false}}\n"
        "network: {allow_ssh_from: [127.0.0.1]}\n"
    )
    with impatient(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPU_BOX_HOME", str(folder.parent / f"{folder.name}-home"))
        for key, value in embedded_exports.items():
            patch.setenv(key, value)
        mine = Laptop(
            Config(
                name=name,
                region="us-east-1",
                ssh=Ssh(key=folder / "key"),
                network=Network(allow_ssh_from=(ip_network("127.0.0.1/32"),)),
            )
        )
        mine.up()
        with enter.enter(mine.cloud, mine.observe(), mine.report) as (connection, _):
            upload_remote.upload(connection, remote())
            home = Path(connection.run("mkdir -p ~/work; cd; pwd").stdout.strip())
        yield Desk(folder, {**os.environ}, cloud=(), home=home)
        mine.down()
