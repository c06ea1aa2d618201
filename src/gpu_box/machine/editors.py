"""Editors on this laptop that work on the box over SSH: VS Code, Cursor, Zed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu_box.errors import GpuBoxError, InputError, MachineError
from gpu_box.machine.ssh import ssh_config
from gpu_box.machine.ssh.connection import Connection
from gpu_box.machine.ssh.errors import not_set_up
from gpu_box.machine.ssh.shell import NO_CODE, remote_module
from gpu_box.model.answer import read_object
from gpu_box.model.machine import Host

_START_S = 5.0  # an editor's command returns at once, or stays in the foreground, and has failed by then
_ANSWER_S = 60.0  # Windows' programs on a slow disk
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._/@+-]{1,200}")


@dataclass(frozen=True, kw_only=True)
class Editor:
    name: str  # as the user types it
    title: str
    programs: tuple[str, ...]  # in PATH
    mac: str  # its command below an Applications folder


EDITORS = {
    one.name: one
    for one in (
        Editor(
            name="code",
            title="VS Code",
            programs=("code",),
            mac="Visual Studio Code.app/Contents/Resources/app/bin/code",
        ),
        Editor(
            name="cursor",
            title="Cursor",
            programs=("cursor",),
            mac="Cursor.app/Contents/Resources/app/bin/cursor",
        ),
        # Several distributions name it zeditor, because of ZFS's zed.
        Editor(name="zed", title="Zed", programs=("zeditor", "zed"), mac="Zed.app/Contents/MacOS/cli"),
    )
}


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What an editor opens on the box. python: the interpreter of jobs and notebooks, or ""."""

    folder: str
    python: str
    preset: bool  # whether the editor's settings on the box name that interpreter


def find(name: str | None) -> Editor | None:
    """The named editor, or the first that is installed; None if there is none. Raises InputError."""
    installed = [one for one in EDITORS.values() if _program(one)]
    if name is None:
        return installed[0] if installed else None
    if EDITORS[name] in installed:
        return EDITORS[name]
    where = "in Windows" if under_wsl() else "in PATH"
    others = " and ".join(f"`gpu-box open {one.name}`" for one in installed)
    raise InputError(
        f"there is no {name} command {where}",
        where="open",
        remedy=f"Install {EDITORS[name].title} with its shell command"
        + (f", or use {others}." if others else "; `gpu-box open` prints the host and the folder."),
    )


def workplace(connection: Connection, editor: Editor | None) -> Workplace:
    command = remote_module("attach", "editor", *([editor.name] if editor else []))
    said = connection.run(command, check=False)
    if said.exit_status == NO_CODE:
        raise not_set_up(connection.host)
    try:
        if said.exit_status:
            raise ValueError
        found = read_object(said.stdout)
        folder, python = found.text("folder"), found.text("python", "")
        # It becomes a word of a command line here, in Windows of cmd.exe.
        if not _PLAIN_PATH.fullmatch(folder):
            raise ValueError
        return Workplace(folder=folder, python=python, preset=found.flag("preset"))
    except ValueError:
        raise MachineError(
            f"the box said {said.said!r}", where=connection.host.name, remedy="Run `gpu-box up`."
        ) from None


def prepare(host: Host, *, forward_agent: bool, windows: bool) -> None:
    """Write this system's SSH config, and Windows' for an editor there. Raises InputError."""
    ssh_config.write(host, forward_agent=forward_agent)
    if windows:
        home_there = _windows("echo %USERPROFILE%")
        if not re.fullmatch(r"[A-Za-z]:\\[^\x00-\x1f\"<>|*?%]+", home_there):
            raise InputError(f"Windows names no home folder: {home_there[:80]!r}", where="cmd.exe")
        home = _answer("wslpath", "-u", home_there)
        if not Path(home).is_absolute():
            raise InputError(f"wslpath says {home[:80]!r}, which is no folder", where=home_there)
        ssh_config.write_windows(host, Path(home), home_there)


def command(editor: Editor, host: str, folder: str) -> list[str]:
    """The command line that opens the folder on the host."""
    program = _program(editor)
    assert program
    if editor.name == "zed":
        return [*program, f"ssh://{host}{folder}"]
    return [*program, "--remote", f"ssh-remote+{host}", folder]


def start(words: Sequence[str]) -> None:
    """Raises GpuBoxError if the editor's command fails. Neither its end here nor Ctrl-C ends the editor."""
    with tempfile.TemporaryFile() as said:  # not a pipe, which would break under an editor that stays
        try:
            status = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                cwd="/mnt/c" if words[0].endswith("cmd.exe") and Path("/mnt/c").is_dir() else None,
                start_new_session=True,
            ).wait(_START_S)
        except subprocess.TimeoutExpired:
            return  # it stays in the foreground
        except OSError as error:
            raise GpuBoxError(f"cannot be started: {error.strerror}", where=words[0]) from None
        if status:
            said.seek(0)
            last = (said.read().decode(errors="replace").strip().splitlines() or [""])[-1][:200]
            how = f"signal {-status} ({signal.strsignal(-status)})" if status < 0 else f"exit status {status}"
            raise GpuBoxError(f"ended with {how}{f': {last}' if last else ''}", where=words[0])


def under_wsl() -> bool:
    return "WSL_DISTRO_NAME" in os.environ


def _program(editor: Editor) -> list[str]:
    """The editor's command; empty if it is not installed."""
    if under_wsl():
        # Windows' PATH is appended to ours. `code` itself would open the folder in WSL.
        cmd = shutil.which("cmd.exe")
        there = any(shutil.which(one + end) for one in editor.programs for end in (".cmd", ".exe", ""))
        return [cmd, "/c", editor.name] if cmd and there else []
    for name in editor.programs:
        if path := shutil.which(name):
            return [path]
    for folder in (Path("/Applications"), Path.home() / "Applications"):
        if os.access(folder / editor.mac, os.X_OK):
            return [str(folder / editor.mac)]
    return []


def _windows(line: str) -> str:
    return _answer(shutil.which("cmd.exe") or "cmd.exe", "/c", line)


def _answer(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, timeout=_ANSWER_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"Windows does not answer: {error}", where=Path(words[0]).name) from None
    return done.stdout.decode(errors="replace").strip()
