"""The environment of programs in a process machine: the host's tools, but none of the user's settings."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from local_aws.machines.process.census import MARKER

# What the host's tools need, and no secret of the shell in which `gpu-box --local` was typed.
_KEPT = {
    "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "MPLCONFIGDIR",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY",
    "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
}  # fmt: skip
_KEPT_PREFIXES = ("LC_", "PIP_", "UV_", "CUDA_", "NVIDIA_", "PYENV_")
_SECRET = re.compile("TOKEN|PASSWORD|SECRET|PUBLISH")
POWEROFF_NAMES = ("poweroff", "shutdown")  # before the host's in the machine's PATH
_SOCKET_PATH_LIMIT = 100  # bytes; sun_path holds 108 on Linux and 104 on macOS
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # not on macOS
_TMUX_SOCKET = "/tmux-0000000/default"


def shell() -> str:
    return next((path for path in ("/bin/bash", "/usr/bin/bash") if os.access(path, os.X_OK)), "/bin/sh")


def machine_environment(
    instance_id: str, folder: Path, outer: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The environment of a machine that starts now. `folder` is the machine's; its home is `folder/home`."""
    home = folder / "home"
    kept = {
        name: value
        for name, value in outer.items()
        if (name in _KEPT or name.startswith(_KEPT_PREFIXES)) and not _SECRET.search(name)
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
        # The machine's boot time, for its watcher's max_hours: this computer may have been up for days.
        "GPU_BOX_BORN": str(time.clock_gettime(_BOOT_CLOCK)),
    }


def console(folder: Path) -> Path:
    """The file in which a machine without a console keeps its console output."""
    return folder / "console.log"


def tmux_folder(instance_id: str, folder: Path) -> Path:
    """The folder of tmux's socket: in the machine's folder, unless its path is too long for a socket."""
    inside = folder / "tmux"
    if len(str(inside) + _TMUX_SOCKET) <= _SOCKET_PATH_LIMIT:
        return inside
    return Path(tempfile.gettempdir()) / f"gpu-box-{instance_id}"


def provide_python(folder: Path, outer: Mapping[str, str] = os.environ) -> None:
    """Make sure that the machine has `python3`: the host's own, else this program's interpreter."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    if not _python_works(os.pathsep.join(_path(outer))) and not (tools / "python3").exists():
        (tools / "python3").symlink_to(Path(sys.executable).resolve())


def _path(outer: Mapping[str, str]) -> list[str]:
    """PATH without virtual environments' folders. It may name folders that this user may not enter."""
    folders = outer.get("PATH", os.defpath).split(os.pathsep)
    # os.path: before Python 3.14, Path.exists() raises PermissionError there.
    return [f for f in folders if f and not os.path.exists(Path(f).parent / "pyvenv.cfg")]


@cache
def _python_works(path: str) -> bool:
    python = shutil.which("python3", path=path)
    if python is None:
        return False
    # Run, not only found: a pyenv shim can exist without a Python behind it.
    check = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 8))"]
    return subprocess.run(check, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def _installers(outer: Mapping[str, str]) -> dict[str, str]:
    """The user's uv cache, which makes a second box fast, and their pip and uv settings (mirrors)."""
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
