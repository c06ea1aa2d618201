"""The environment of what runs in a process machine: the host's tools, none of the user's own settings."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from local_aws.machines.process.census import MARKER

_DROPPED_PREFIXES = (
    "AWS_", "BASH_", "CONDA_", "GPU_BOX_", "JUPYTER_", "MOTO_", "PYTEST_", "PYTHON", "SSH_", "TMUX",
    "VIRTUAL_ENV", "WERKZEUG_", "XDG_",
)  # fmt: skip
_DROPPED = {"_", "ENV", "HOME", "MAIL", "OLDPWD", "PWD", "SHLVL", "TERM", "COLUMNS", "LINES"}
POWEROFF_NAMES = ("poweroff", "shutdown")  # in the machine's PATH before the host's
_SOCKET_PATH_LIMIT = 100  # bytes; sun_path holds 108 on Linux and 104 on macOS
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # not on macOS
_TMUX_SOCKET = "/tmux-0000000/default"


def shell() -> str:
    return next((path for path in ("/bin/bash", "/usr/bin/bash") if os.access(path, os.X_OK)), "/bin/sh")


def machine_environment(
    instance_id: str, folder: Path, outer: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Environment for one machine that starts now. `folder` is the machine's own; its home, `folder/home`."""
    home = folder / "home"
    kept = {
        name: value
        for name, value in outer.items()
        if name not in _DROPPED and not name.startswith(_DROPPED_PREFIXES)
    }
    return {
        **kept,
        **_installers(outer),
        "HOME": str(home),
        "USER": getpass.getuser(),
        "LOGNAME": getpass.getuser(),
        "SHELL": shell(),
        "PATH": os.pathsep.join([str(folder / "bin"), *_path(outer)]),
        "TMUX_TMPDIR": str(tmux_folder(instance_id, folder)),
        "GPU_BOX_SSHD_DIR": str(home / ".sshd"),
        "GPU_BOX_CONSOLE": str(console(folder)),
        "GPU_BOX_POWEROFF": str(folder / "bin" / POWEROFF_NAMES[0]),
        MARKER: instance_id,
        # What its watcher counts max_hours from: this computer may have been up for days.
        "GPU_BOX_BORN": str(time.clock_gettime(_BOOT_CLOCK)),
    }


def console(folder: Path) -> Path:
    """Where a machine without a console of its own writes what EC2 keeps of one."""
    return folder / "console.log"


def tmux_folder(instance_id: str, folder: Path) -> Path:
    """Where tmux puts its socket: in the machine's folder, unless that is too deep for a socket's path."""
    inside = folder / "tmux"
    if len(str(inside) + _TMUX_SOCKET) <= _SOCKET_PATH_LIMIT:
        return inside
    return Path(tempfile.gettempdir()) / f"gpu-box-{instance_id}"


def provide_python(folder: Path, outer: Mapping[str, str] = os.environ) -> None:
    """Make sure that `python3` is found in the machine: the host's own, else this program's interpreter."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    if not _python_works(os.pathsep.join(_path(outer))) and not (tools / "python3").exists():
        (tools / "python3").symlink_to(Path(sys.executable).resolve())


def _path(outer: Mapping[str, str]) -> list[str]:
    """PATH without the folders of virtual environments. It may name folders that this user may not enter."""
    folders = outer.get("PATH", os.defpath).split(os.pathsep)
    # os.path: before Python 3.14, Path.exists() raises PermissionError there.
    return [f for f in folders if f and not os.path.exists(Path(f).parent / "pyvenv.cfg")]


@cache
def _python_works(path: str) -> bool:
    python = shutil.which("python3", path=path)
    if python is None:
        return False
    # Tried out and not merely found: pyenv's shims exist even where they lead nowhere.
    check = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 8))"]
    return subprocess.run(check, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def _installers(outer: Mapping[str, str]) -> dict[str, str]:
    """The user's uv cache, so that a second box is fast, and their settings for pip and uv (mirrors)."""
    real_home = Path(outer.get("HOME") or Path.home())
    cache_home = Path(outer.get("XDG_CACHE_HOME") or real_home / ".cache")
    config_home = Path(outer.get("XDG_CONFIG_HOME") or real_home / ".config")
    found = {"UV_CACHE_DIR": outer.get("UV_CACHE_DIR") or str(cache_home / "uv")}
    for name, file in (
        ("PIP_CONFIG_FILE", config_home / "pip" / "pip.conf"),
        ("UV_CONFIG_FILE", config_home / "uv" / "uv.toml"),
    ):
        if name not in outer and os.path.isfile(file):
            found[name] = str(file)
    return found
