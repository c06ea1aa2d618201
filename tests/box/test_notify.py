"""Notices on the laptop: the user's command, the desktop's program, and their failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_box.box import notify
from gpu_box.box.notify import tell
from gpu_box.config.model import Notify


def test_the_command_finds_the_notice_in_its_environment(tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    command = f'printf "%s|" "$GPU_BOX_EVENT" "$GPU_BOX_TITLE" "$GPU_BOX_TEXT" >{sent}'
    text = 'train: "$(touch ran)" ended'
    assert tell(Notify(command=command), "job", "ada: job ended", text) == ""
    assert sent.read_text() == f"job|ada: job ended|{text}|"
    assert not Path("ran").exists()


def test_a_command_that_fails_is_tried_again_and_said_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_PAUSES_S", (0.01, 0.01))
    once = f"echo x >>{tmp_path}/tries; [ $(wc -l <{tmp_path}/tries) -ge 3 ]"
    assert tell(Notify(command=once), "job", "t", "x") == ""
    said = tell(Notify(command="echo no bell >&2; exit 3"), "job", "t", "x")
    assert said == "notify.command failed with exit status 3: no bell"


def test_the_desktop_s_own_notice_gets_title_and_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = tmp_path / "sent"
    for name in ("notify-send", "osascript"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >{sent}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert tell(Notify(desktop=True), "job", "-title", "text") == ""
    assert sent.read_text().endswith("|-title|text|")


def test_a_desktop_without_notices_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "which is not installed" in tell(Notify(desktop=True), "job", "t", "x")


def test_without_settings_nothing_is_sent() -> None:
    assert tell(Notify(), "job", "t", "x") == ""
