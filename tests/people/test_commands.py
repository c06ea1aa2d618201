"""Commands of any length and in any encoding run as typed, or are refused before anything starts."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.errors import InputError
from gpu_box.machine import jobs
from gpu_box.machine.files import upload_remote
from gpu_box.machine.ssh.connection import connect
from tests.paths import REMOTE

from ..machine.conftest import host_of

Run = Callable[[str], tuple[int, str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """`run("echo")`: a job's exit status and log."""
    machine = OpenSshMachine(tmp_path_factory.mktemp("commands") / "machine")
    machine.start()
    (machine.home / "work").mkdir()
    with connect(host_of(machine)) as connection:
        upload_remote.upload(connection, REMOTE)

        def run(command: str) -> tuple[int, str]:
            said: list[str] = []
            jobs.start(connection, "job", command)
            return jobs.follow(host_of(machine), "job", said.append), "".join(said)

        yield run
    machine.stop()


# A shell's `data/*.jpg`: one argument of execve(2) takes 128 KiB
@pytest.mark.parametrize("size", [131_000, 131_072, 400_000, 900_000])
def test_a_long_command_runs_whole(run: Run, size: int) -> None:
    assert run(f"echo {'x' * size} | wc -c; exit 7") == (7, f"{size + 1}\n")


def test_a_longer_one_is_refused_with_its_size(run: Run) -> None:
    with pytest.raises(InputError, match=r"the command is 1\.1 MB long; at most 1\.0 MB .* into a script"):
        run("echo " + "x" * 1_100_000)


@pytest.mark.parametrize("name", ["caf\udce9", "café", "模型", "a\nb", "$(false)", "'"])
def test_bytes_that_are_no_utf_8_arrive_as_they_are(run: Run, name: str) -> None:
    status, log = run(shlex.join(["printf", "%s", name]) + " | od -An -tx1")
    assert (status, log.split()) == (0, name.encode("utf-8", "surrogateescape").hex(" ").split())
