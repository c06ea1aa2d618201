"""Ctrl-C in any command: what is left, and what to type."""

from __future__ import annotations

import pytest

from gpu_box.cli import main as cli


@pytest.mark.parametrize("command", ["up", "stop", "down", "resize", "bake", "move", "sync", "pull", "run"])
def test_ctrl_c_says_what_is_left_and_what_to_type(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    assert cli.main(["--local", command]) == 130
    said = capsys.readouterr().err.strip()
    assert said.startswith("interrupted: ")
    assert f"gpu-box {command if command != 'run' else 'logs'}" in said
