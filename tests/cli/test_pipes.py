"""Files that the user names and that are pipes: `<(...)`, a password manager's .env, a forgotten mkfifo."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from gpu_box import files
from gpu_box.cli.main import main
from gpu_box.config.model import Config, Ssh
from gpu_box.config.read import load
from gpu_box.errors import InputError
from gpu_box.machine.files import variables
from gpu_box.machine.ssh import key_file

SILENT = "is a pipe without a writer"


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A named pipe without a writer."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    monkeypatch.setattr(files, "_PIPE_PATIENCE_S", 0.3)
    return path


def test_a_config_without_a_writer_is_a_line_and_no_waiting_for_ever(
    pipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(pipe), "plan"]) == 2
    said = capsys.readouterr().err
    assert f"{pipe}: cannot be read: it {SILENT}" in said and len(said.splitlines()) == 1


def test_an_env_file_without_a_writer_is_a_line_and_no_waiting_for_ever(pipe: Path) -> None:
    with pytest.raises(InputError, match=SILENT):
        variables.read(Config(env_file=pipe))


def test_a_key_that_is_a_pipe_is_refused_and_not_waited_for(pipe: Path) -> None:
    with pytest.raises(InputError, match="the SSH key is no regular file"):
        key_file.read(pipe)
    assert variables.content(Config(env=("A=1",), ssh=Ssh(key=pipe))) is None


def test_a_password_manager_may_take_its_time_once_it_has_opened_the_pipe(pipe: Path) -> None:
    def write() -> None:
        with pipe.open("wb", buffering=0) as sink:
            time.sleep(0.6)  # longer than a pipe without a writer is waited for
            sink.write(b"A=1\n")
            time.sleep(0.6)
            sink.write(b"B=2\n")

    writer = threading.Thread(target=write)
    writer.start()
    assert variables.read(Config(env_file=pipe)).values == {"A": "1", "B": "2"}
    writer.join()


@pytest.mark.parametrize("content", [b"name: piped\n", b"name: piped\n" + b"# long\n" * 8_000])
def test_a_config_of_process_substitution_is_read_whole(pipe: Path, content: bytes) -> None:
    """Bash's `<(...)`, whose writer may have ended before we open it."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as sink:
            sink.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    if len(content) < 1000:
        writer.join()
    began = time.monotonic()
    assert load(Path(f"/dev/fd/{reading}")).name == "piped"
    assert time.monotonic() - began < 5
    writer.join()
    os.close(reading)


def test_an_empty_process_substitution_is_an_empty_config_at_once() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(InputError, match="is empty"):
        load(Path(f"/dev/fd/{reading}"))
    os.close(reading)


def test_a_folder_and_a_missing_file_are_said_as_before(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Is a directory"):
        load(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "absent")
