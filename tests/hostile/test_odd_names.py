"""Names with quotes, spaces, newlines, `$(...)` and `-rf` by real SSH: exact, or refused in one line."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from testbed.openssh import OpenSshMachine

from gpu_box.box.work import job_name
from gpu_box.errors import ConfigError, GpuBoxError, InputError
from gpu_box.machine import jobs
from gpu_box.machine.files import sync, upload_remote
from gpu_box.machine.files.selection import Selection
from gpu_box.machine.ssh import attach
from gpu_box.machine.ssh.connection import Connection
from tests.following import follow_lines
from tests.paths import REMOTE

from .. import needs
from ..machine.conftest import Recorder
from ..user import COMMAND

ODD = [
    "-rf",
    "--delete",
    "a b",
    " leading and trailing ",
    "it's",
    'say "hi"',
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned #",
    "back\\slash",
    "*",
    "~",
    "!history",
    "é…🦊",
]
WORDS = [*ODD, "two\nlines"]  # which is no name of a file that travels


@pytest.mark.parametrize("transport", needs.TRANSPORTS)
def test_files_of_any_name_go_up_and_come_down_as_they_are(
    machine: OpenSshMachine, connection: Connection, tmp_path: Path, report: Recorder, transport: str
) -> None:
    upload_remote.upload(connection, REMOTE)
    project, back = tmp_path / "project", tmp_path / "back"
    for number, name in enumerate(ODD):
        folder = project / name
        folder.mkdir(parents=True)
        (folder / name).write_text(str(number))
    sync.push(connection, Selection(project), "~/work", report=report, transport=transport)
    assert files(machine.home / "work") == files(project)
    sync.pull(connection, "~/work", back, report=report)
    assert files(back) == files(project)
    nothing_ran(machine)


def test_a_folder_of_any_name_is_pulled(
    machine: OpenSshMachine, connection: Connection, tmp_path: Path, report: Recorder
) -> None:
    upload_remote.upload(connection, REMOTE)
    for number, name in enumerate(ODD):
        folder = machine.home / "work" / name
        folder.mkdir(parents=True)
        (folder / "result").write_text(str(number))
        sync.pull(connection, f"~/work/{name}", tmp_path / name, report=report)
        assert (tmp_path / name / "result").read_text() == str(number)
    nothing_ran(machine)


@pytest.mark.parametrize("transport", needs.TRANSPORTS)
def test_a_file_with_a_control_character_in_its_name_stays_here_and_a_note_says_so(
    machine: OpenSshMachine, connection: Connection, tmp_path: Path, report: Recorder, transport: str
) -> None:
    upload_remote.upload(connection, REMOTE)
    project = tmp_path / "project"
    project.mkdir()
    for name in ("two\nlines", "fine"):
        (project / name).write_text("x")
    sync.push(connection, Selection(project), "~/work", report=report, transport=transport)
    assert files(machine.home / "work") == {"fine": "x"}
    assert ("note", "", "left out (control characters in the name): 'two\\nlines'") in report.events


def test_words_of_a_command_arrive_as_they_are(machine: OpenSshMachine, connection: Connection) -> None:
    command = attach.ssh_command(connection.host, ["printf", "%s\\0", *WORDS], tty=False)
    done = subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    assert done.stdout.decode().split("\0")[:-1] == WORDS
    nothing_ran(machine)


def test_words_of_a_job_arrive_as_they_are(machine: OpenSshMachine, connection: Connection) -> None:
    upload_remote.upload(connection, REMOTE)
    (machine.home / "work").mkdir()
    command = ["printf", "%s|", *WORDS]
    name = job_name(command)
    jobs.start(connection, name, shlex.join(command))
    lines: list[str] = []
    assert follow_lines(connection.host, name, lines.append) == 0
    assert "\n".join(lines) == "".join(f"{word}|" for word in WORDS)
    nothing_ran(machine)


def test_a_job_is_not_given_such_a_name(machine: OpenSshMachine, connection: Connection) -> None:
    upload_remote.upload(connection, REMOTE)
    (machine.home / "work").mkdir()
    for name in [*WORDS, "../../escaped", "/etc", "", "."]:
        with pytest.raises(InputError) as refused:
            jobs.start(connection, name, "true")
        assert "\n" not in str(refused.value)
    nothing_ran(machine)


@pytest.mark.parametrize("name", ["-rf", "it's", "$(touch pwned)", "two\nlines", "../up"])
def test_a_box_is_not_given_such_a_name(name: str, tmp_path: Path) -> None:
    """Before any call to AWS: this test has no cloud."""
    done = subprocess.run(
        [COMMAND, f"--name={name}", "status"], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "pwned").exists()


def files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def nothing_ran(machine: OpenSshMachine) -> None:
    assert not [path for path in machine.home.rglob("pwned") if path.is_file()]


@pytest.mark.parametrize("kind", [InputError, lambda text: ConfigError([text], where="config.yaml")])
def test_a_newline_in_a_name_breaks_no_line_of_an_error(kind: Callable[[str], GpuBoxError]) -> None:
    said = str(kind("notes\nerror: all is well is no folder"))
    assert "\n" not in said and "notes\\nerror" in said
