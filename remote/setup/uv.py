"""Finds uv, or installs a pinned version in ~/.gpu-box.

Its checksums are in uv.txt; pip (--require-hashes) and our own download verify them.
"""

import fcntl
import glob
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path
from typing import List, Optional

from setup import apt, records
from setup.desired import HOME, ROOT
from setup.session import Failed, Session

_OWN = ROOT / "uv"
# From this version --torch-backend=auto supports CUDA 12.9, which drivers from 535 need (release notes of
# 0.8.13, astral-sh/uv#15416); before 0.7.14 the option was a preview (#14119).
_OLDEST = (0, 8, 13)
_PINNED = Path(__file__).resolve().with_name("uv.txt")
# The same wheels at PyPI (their blake2b-256 is in the address), for a machine without pip.
_FILES = "https://files.pythonhosted.org/packages/"
_WHEELS = {
    "x86_64": "3d/aa/26d64642d808de4a652579ef950d7cd2d37f080a8babf9c67c6b75fc4c3f/"
    "uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "aarch64": "fe/2f/51a5de367c602592c018a42a23d57fba5f2689fe6c3bf025dcf043b39c61/"
    "uv-0.13.9-py3-none-manylinux_2_28_aarch64.whl",
}
_REQUIREMENT = ("--only-binary", ":all:", "--require-hashes", "-r", str(_PINNED))
_MOST_BYTES = 100 << 20


def find() -> Optional[str]:
    """The path of a new enough uv, or None."""
    candidates = [_OWN / "bin" / "uv", HOME / ".local" / "bin" / "uv", HOME / ".cargo" / "bin" / "uv"]
    own = next((str(path) for path in candidates if _is_fit(str(path))), None)
    on_path = shutil.which("uv")
    return own or (on_path if on_path and _is_fit(on_path) else None)


def ensure(session: Session) -> str:
    """The path of a new enough uv, installed if necessary. Raises Failed if every way fails."""
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / "uv.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `setup ahead` runs beside `setup apply`
        return find() or _get(session)


def _get(session: Session) -> str:
    session.say("getting uv")
    problems = []
    for way in (_by_pip, _by_bundled_pip, _by_venv, _by_download, _by_apt_and_venv):
        try:
            way(session)
        except (Failed, OSError) as problem:
            problems.append(str(problem).splitlines()[-1])
        found = find()
        if found:
            return found
    raise Failed("uv cannot be installed here:\n" + "\n".join(problems))


def _by_pip(session: Session) -> None:
    _install(session, [sys.executable, "-m", "pip"])


def _by_bundled_pip(session: Session) -> None:
    """Use the pip wheel of `venv` directly, which takes half the time of a venv."""
    wheels = glob.glob("/usr/share/python-wheels/pip-*.whl")  # Debian's place for it
    if not wheels:
        raise Failed("this Python brings no pip")
    _install(session, [sys.executable, wheels[0] + "/pip"])


def _install(session: Session, pip: List[str]) -> None:
    session.run([*pip, "install", "-q", "--target", str(_OWN), "--upgrade", *_REQUIREMENT])


def _by_venv(session: Session) -> None:
    session.run([sys.executable, "-m", "venv", "--clear", str(_OWN)])
    session.run([str(_OWN / "bin" / "python"), "-m", "pip", "install", "-q", *_REQUIREMENT])


def _by_download(session: Session) -> None:
    name = _WHEELS.get(platform.machine()) if sys.platform == "linux" else None
    if not name:
        raise Failed("no wheel of uv is pinned for this system")
    with urllib.request.urlopen(_FILES + name, timeout=60) as answer:
        wheel = answer.read(_MOST_BYTES)
    if hashlib.sha256(wheel).hexdigest() not in _PINNED.read_text(encoding="utf-8"):
        raise Failed("the download from %s is not the pinned uv: its sha256 differs" % _FILES)
    with zipfile.ZipFile(io.BytesIO(wheel)) as files:
        program = next(one for one in files.namelist() if one.endswith(".data/scripts/uv"))
        target = _OWN / "bin" / "uv"
        records.write_atomically(target, files.read(program), 0o755)


def _by_apt_and_venv(session: Session) -> None:
    if not apt.usable():
        raise Failed("python3-venv is missing and cannot be installed without sudo")
    apt.install(session, "python3-venv")
    _by_venv(session)


def _is_fit(path: str) -> bool:
    """Whether it runs and is new enough."""
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        return False
    try:
        done = subprocess.run(
            [path, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    found = re.match(rb"uv (\d{1,6})\.(\d{1,6})\.(\d{1,6})", done.stdout)
    return done.returncode == 0 and found is not None and tuple(map(int, found.groups())) >= _OLDEST
