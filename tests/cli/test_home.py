"""A HOME that is empty, missing or cannot be written."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpu_box.cli import known_names
from gpu_box.cli.main import main
from gpu_box.config import values
from gpu_box.errors import InputError
from gpu_box.store.files import cache_home, data_home

SET = "Set HOME or XDG_DATA_HOME to a folder that you can write."


def local_status(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of `--local status`, which ends with 2."""
    assert main(["--local", "status"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("error: ")
    return err


@pytest.mark.parametrize("home", ["/proc/x", "/dev/full", "/etc/passwd"])
@pytest.mark.parametrize("command", [["--local", "status"], ["local", "env"]])
def test_a_home_that_cannot_be_written_is_named_with_what_to_set(
    home: str, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", home)
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert err.startswith(f"error: {home}") and "cannot be written" in err and SET in err


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_home_without_the_right_to_write_is_named_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o555)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert SET in local_status(capsys)


def test_a_data_folder_in_whose_way_something_is_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path))
    (tmp_path / "embedded").write_text("")
    said = local_status(capsys)
    assert "embedded" in said and "Set GPU_BOX_HOME to a folder that you can write." in said


@pytest.fixture
def account_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder in the system's list of accounts."""
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_dir=str(tmp_path)))
    return tmp_path


def test_an_empty_home_counts_as_unset_and_nothing_goes_to_the_root(
    account_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "")
    assert main(["help"]) == 0
    assert data_home() == account_home / ".local/share/gpu-box"
    assert known_names._home() == str(data_home())
    assert cache_home() == account_home / ".cache/gpu-box"
    assert values.path("~/key") == Path.home() / "key" == account_home / "key"
    assert "HOME" not in os.environ  # nor for what it starts


def test_without_any_home_the_line_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert cache_home() is None
    with pytest.raises(InputError, match="you have no home folder"):
        data_home()
