"""`gpu-box policy`: what is printed is ready to be used."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from gpu_box.cli.main import main


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["policy", *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [(), ("--boundary",)])
def test_a_policy_is_json(
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert json.loads(printed(capsys, *words))["Version"] == "2012-10-17"


@pytest.mark.parametrize("words", [("--role",), ("--role", "--boundary")])
def test_an_administrator_s_commands_are_a_shell_s(
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    script = printed(capsys, *words)
    subprocess.run(["sh", "-n"], input=script, text=True, check=True, timeout=30)


def test_a_policy_names_what_the_config_names(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = "arn:aws-us-gov:iam::123456789012:role/boxes/stops"
    (tmp_path / "config.yaml").write_text(f"region: us-gov-west-1\naws: {{deadline_role: '{role}'}}\n")
    monkeypatch.chdir(tmp_path)
    policy = printed(capsys)
    [lent] = [one for one in json.loads(policy)["Statement"] if one["Action"] == "iam:PassRole"]
    assert lent["Resource"] == role
    assert "arn:aws:" not in policy


def test_a_policy_that_is_too_long_for_aws_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"
    for config, said in (("", False), (f"aws: {{kms_key: '{key}'}}\n", True)):
        (tmp_path / "config.yaml").write_text(f"region: us-east-1\n{config}")
        assert main(["policy", "--boundary"]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["Version"] and ("a managed policy may have 6,144" in err) == said
