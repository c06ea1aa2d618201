"""`open`: an editor on the laptop, the box's folder and Python in it, and what WSL and Windows get."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from testbed.openssh import free_port

from gpu_box.cli import main as cli
from gpu_box.machine.editors import EDITORS
from tests.paths import ROOT

from .. import schema
from .conftest import Desk

SETTINGS = ".vscode-server/data/Machine/settings.json"


@pytest.fixture
def laptop(desk: Desk, tmp_path: Path) -> Iterator[Desk]:
    """A laptop whose ~/.ssh is empty and whose PATH has no editor; the box's environment is set up."""
    home, programs = tmp_path / "laptop", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    for name in ("ssh", "sh", "cat"):
        (programs / name).symlink_to(_which(name))
    config = desk.folder / "open.yaml"
    config.write_text((desk.folder / "config.yaml").read_text().replace("config: false", "config: true"))
    python = desk.home / ".gpu-box" / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.touch()
    environment = {**desk.environment, "HOME": str(home), "PATH": str(programs)}
    environment.pop("WSL_DISTRO_NAME", None)
    yield replace(desk, environment=environment, cloud=("--config", str(config)))
    (desk.home / SETTINGS).unlink(missing_ok=True)


def _which(name: str) -> str:
    import shutil

    found = shutil.which(name)
    assert found
    return found


def install(laptop: Desk, name: str, script: str = "") -> Path:
    """An editor that notes its arguments, one a line."""
    log = Path(laptop.environment["HOME"]) / f"{name}.log"
    program = Path(laptop.environment["PATH"]) / name
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >"{log}"\n{script}\n')
    program.chmod(0o755)
    return log


def test_vs_code_opens_the_folder_on_a_host_that_ssh_reaches_with_the_box_s_python(laptop: Desk) -> None:
    log = install(laptop, "code")
    opened = laptop.json("open", "code")
    words = log.read_text().splitlines()
    assert words == ["--remote", f"ssh-remote+{opened['host']}", str(laptop.work)]
    reached = subprocess.run(
        [
            "ssh",
            "-F",
            f"{laptop.environment['HOME']}/.ssh/config",
            opened["host"],
            "cd",
            words[2],
            "&&",
            "pwd",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert reached.stdout.strip() == str(laptop.work), reached.stderr
    assert opened["preset"] and opened["python"].endswith("/.gpu-box/venv/bin/python")
    settings = json.loads((laptop.home / SETTINGS).read_text())
    assert settings == {"python.defaultInterpreterPath": opened["python"]}


def test_what_was_edited_on_the_box_comes_back_with_pull(laptop: Desk) -> None:
    (laptop.work / "package").mkdir(parents=True, exist_ok=True)
    (laptop.work / "package" / "edited.py").write_text("there\n")
    with_editor = replace(laptop, environment={**laptop.environment, "PATH": os.environ["PATH"]})
    with_editor.run("pull", ".")
    assert (laptop.folder / "package" / "edited.py").read_text() == "there\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"editor.fontSize": 11}', {"editor.fontSize": 11, "python.defaultInterpreterPath": "{ours}"}),
        ('{"python.defaultInterpreterPath": "/opt/mine"}', {"python.defaultInterpreterPath": "/opt/mine"}),
        ('// mine\n{"editor.fontSize": 11}', None),
        ("[]", None),
    ],
)
def test_settings_of_the_user_s_own_are_kept(laptop: Desk, before: str, after: object) -> None:
    install(laptop, "code")
    path = laptop.home / SETTINGS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(before)
    opened = laptop.json("open", "code")
    if after is None:
        assert path.read_text() == before
    else:
        assert (
            path.read_text().replace(opened["python"], "{ours}") != ""
            and json.loads(path.read_text().replace(opened["python"], "{ours}")) == after
        )
    assert opened["preset"] is (opened["python"] in path.read_text())


def test_zed_and_cursor_are_given_the_host_in_their_own_words(laptop: Desk) -> None:
    zed, cursor = install(laptop, "zed"), install(laptop, "cursor")
    host = laptop.json("open", "zed")["host"]
    assert zed.read_text().splitlines() == [f"ssh://{host}{laptop.work}"]
    assert laptop.json("open")["editor"] == "cursor", "the first that is installed"
    assert cursor.read_text().splitlines() == ["--remote", f"ssh-remote+{host}", str(laptop.work)]


def test_without_an_editor_it_prints_host_and_folder(laptop: Desk) -> None:
    printed = laptop.run("open").stdout
    assert "No editor is installed here (code, cursor or zed). In yours, open host " in printed
    assert f"folder {laptop.work}." in printed
    assert laptop.json("open")["editor"] is None


def test_an_editor_that_is_not_installed_or_fails_or_is_unknown_is_one_line(laptop: Desk) -> None:
    install(laptop, "zed", "echo 'no display' >&2; exit 3")
    refused = laptop.run("open", "code", expect=2).stderr
    assert "open: there is no code command in PATH. Install VS Code with its shell command" in refused
    assert "`gpu-box --config" in refused and "open zed`" in refused
    failed = laptop.run("open", "zed", expect=1).stderr
    assert "ended with exit status 3: no display. Open the folder " in failed
    assert f"{laptop.work} on the SSH host " in failed
    install(laptop, "zed", "kill -9 $$")
    assert "ended with signal 9 (Killed). Open the folder" in laptop.run("open", "zed", expect=1).stderr
    assert "emacs" in laptop.run("open", "emacs", expect=2).stderr
    off = replace(laptop, cloud=("--config", str(laptop.folder / "config.yaml")))
    assert "ssh.config: editors read ~/.ssh/config" in off.run("open", expect=2).stderr


@pytest.mark.parametrize("interrupted", [False, True])
def test_an_editor_that_stays_in_the_foreground_is_left_running(tmp_path: Path, interrupted: bool) -> None:
    """As an AppImage does. It was killed, with its unsaved edits."""
    saved = tmp_path / "saved"
    editor = f"touch {saved}.begun; sleep 2; echo words >&2 && touch {saved}"
    line = f"from gpu_box.machine import editors; editors._START_S = {60 if interrupted else 0.2}; "
    line += f"editors.start(['sh', '-c', {editor!r}])"
    opening = subprocess.Popen([sys.executable, "-c", line], stderr=subprocess.DEVNULL)
    while interrupted and not Path(f"{saved}.begun").exists():
        time.sleep(0.05)
    if interrupted:
        opening.send_signal(signal.SIGINT)
    opening.wait(120)
    deadline = time.monotonic() + 60
    while not saved.exists():
        assert time.monotonic() < deadline, "the editor was ended"
        time.sleep(0.05)


def test_the_config_s_ports_stay_until_ctrl_c(laptop: Desk) -> None:
    install(laptop, "code")
    port = free_port()
    config = laptop.folder / "open.yaml"
    config.write_text(config.read_text() + f"ports: {port}\n")
    with laptop.started("--json", "open") as opening:
        printed = opening.out.readline().decode()
        [forwarded] = schema.held(["open"], printed)["ports"]
        assert (forwarded["port"], forwarded["local_port"]) == (port, port)
        opening.process.send_signal(signal.SIGINT)
        assert opening.end()[0] == 130


def test_under_wsl_the_windows_editor_finds_the_box_in_windows_own_ssh_config(
    laptop: Desk, tmp_path: Path
) -> None:
    """Windows is played by two scripts: cmd.exe, and wslpath, which maps its home folder to one here."""
    windows = tmp_path / "c" / "Users" / "Ada L"
    (windows / ".ssh").mkdir(parents=True)
    theirs = "Host work\r\n  User ada\r\n"
    (windows / ".ssh" / "config").write_bytes(theirs.encode())
    log = install(laptop, "cmd.exe", 'case "$2" in echo*) printf "C:\\\\Users\\\\Ada L\\r\\n" ;; esac')
    install(laptop, "code.cmd")
    (Path(laptop.environment["PATH"]) / "wslpath").write_text(f'#!/bin/sh\necho "{windows}"\n')
    (Path(laptop.environment["PATH"]) / "wslpath").chmod(0o755)
    wsl = replace(laptop, environment={**laptop.environment, "WSL_DISTRO_NAME": "Ubuntu"})
    unknown = Path(laptop.environment["PATH"]) / "cmd.exe"
    script = unknown.read_text()
    unknown.write_text("#!/bin/sh\n")
    refused = wsl.run("open", "code", expect=2).stderr
    assert "Windows names no home folder" in refused and "on the SSH host" in refused
    unknown.unlink()
    assert wsl.json("open")["editor"] is None, "without Windows' programs in PATH"
    unknown.write_text(script)
    unknown.chmod(0o755)
    host = wsl.json("open", "code")["host"]
    assert log.read_text().splitlines() == ["/c", "code", "--remote", f"ssh-remote+{host}", str(laptop.work)]
    assert (windows / ".ssh" / "config").read_bytes() == b"Include gpu-box.d/*.conf\n\n" + theirs.encode()
    text = (windows / ".ssh" / "gpu-box.d" / f"{host}.conf").read_text()
    assert f'IdentityFile "C:/Users/Ada L/.ssh/gpu-box.d/{host}.key"' in text
    assert "ControlMaster" not in text, "Windows' ssh has no shared connections"
    key = windows / ".ssh" / "gpu-box.d" / f"{host}.key"
    assert key.read_bytes() == (laptop.folder / "key").read_bytes()
    here = tmp_path / "as-windows-reads-it.conf"
    here.write_text(text.replace("C:/Users/Ada L", str(windows)))
    reached = subprocess.run(["ssh", "-F", here, host, "pwd"], capture_output=True, text=True, timeout=60)
    assert reached.returncode == 0, reached.stderr
    remove = f"from gpu_box.machine.ssh import ssh_config; ssh_config.remove({host!r})"
    subprocess.run([sys.executable, "-c", remove], env=wsl.environment, check=True)
    assert not list((windows / ".ssh" / "gpu-box.d").iterdir())
    assert (windows / ".ssh" / "config").read_bytes() == theirs.encode()


@pytest.mark.parametrize("wslpath", [None, "", "relative"])
def test_a_wsl_that_does_not_find_the_windows_folder_is_one_line(laptop: Desk, wslpath: str | None) -> None:
    install(laptop, "cmd.exe", 'case "$2" in echo*) printf "C:\\\\Users\\\\Ada\\r\\n" ;; esac')
    install(laptop, "code.cmd")
    if wslpath is not None:
        (Path(laptop.environment["PATH"]) / "wslpath").write_text(f"#!/bin/sh\necho {wslpath}\n")
        (Path(laptop.environment["PATH"]) / "wslpath").chmod(0o755)
    wsl = replace(laptop, environment={**laptop.environment, "WSL_DISTRO_NAME": "Ubuntu"})
    assert "wslpath" in wsl.run("open", "code", expect=2).stderr


def test_windows_itself_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert cli.main(["up"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "does not run in Windows itself" in line and "`wsl --install`" in line


def test_that_line_needs_nothing_that_windows_lacks() -> None:
    lacking = ["fcntl", "pwd", "termios", "pty", "grp", "resource"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({lacking!r})); sys.platform = 'win32'\n"
        "from gpu_box.cli.main import main; sys.exit(main(['up']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}, cwd=ROOT
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1


def test_every_editor_of_the_command_is_known() -> None:
    from gpu_box.cli.attach import Editor

    assert {one.value for one in Editor} == set(EDITORS)
