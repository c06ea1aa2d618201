"""What a project's files and variables may get wrong: refused before AWS is asked, for which there are no
credentials here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_box.cli.main import main

WRONG = {
    "a name without a value": ("env: [NOWHERE_SET]\n", {}, "no value for NOWHERE_SET"),
    "no env_file": ("env_file: .env\n", {}, ".env: cannot be read"),
    "an env_file that is none": ("env_file: .env\n", {".env": "TOKEN\n"}, "line 1 is not NAME=value"),
    "AWS credentials": (
        "env_file: .env\n",
        {".env": "AWS_SESSION_TOKEN=s3cr3t\n"},
        "would copy AWS credentials",
    ),
    "a value that is too long": ("env_file: .env\n", {".env": "T=" + "s3cr3t" * 22_000}, "over 128 KiB"),
    "no folder to sync": ("sync: {source: nope}\n", {}, "sync.source: no folder"),
    "another user's folder": ("sync: {source: ~root/nope}\n", {}, "sync.source: no folder"),
    "the whole disk": ("sync: {source: /}\n", {}, "sync.source: all of / would be synced"),
    "results into a file": ("sync: {results: config.yaml}\n", {}, "config.yaml is no folder"),
    "results below a file": ("sync: {results: config.yaml/x}\n", {}, "config.yaml is no folder"),
    "another Python": ("", {".python-version": "3.9\n"}, ".python-version: it asks for Python 3.9"),
}


@pytest.mark.parametrize("command", ["up", "plan"])
def test_a_folder_in_place_of_the_ssh_config_is_refused_before_anything_bills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "config.yaml").write_text("region: us-east-1\nssh: {key: key}\n")
    (tmp_path / "user/.ssh/config").mkdir(parents=True)
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)
    assert main([command]) == 2
    said = "~/.ssh/config is a folder. Move it away, or set ssh.config: false."
    assert said in " ".join(capsys.readouterr().err.split())


def test_pull_names_the_setting_if_a_file_is_in_place_of_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("region: us-east-1\nsync: {results: config.yaml}\n")
    monkeypatch.chdir(tmp_path)
    assert main(["pull"]) == 2
    assert "error: sync.results: " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "plan"])
@pytest.mark.parametrize("what", WRONG)
def test_it_is_one_line_with_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    what: str,
) -> None:
    config, files, said = WRONG[what]
    (tmp_path / "config.yaml").write_text(config + "region: us-east-1\nssh: {key: key, config: false}\n")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert main([command]) == 2
    printed = capsys.readouterr()
    assert said in " ".join(printed.err.split()) and "s3cr3t" not in printed.err + printed.out


def test_a_newline_in_the_name_of_the_project_s_folder_breaks_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a\nb"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for config, said in (("sync: {source: x}\n", "a\\nb/x"), ("nam: x\n", "a\\nb/config.yaml: line 1")):
        (folder / "config.yaml").write_text(config)
        assert main(["--config", str(folder / "config.yaml"), "plan"]) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.splitlines()) == 1
