"""uv, the installer: found, or brought into ~/.gpu-box by whatever the machine has."""

import glob
import os
import shutil
import subprocess
import sys
import urllib.request
from typing import List, Optional

from setup.desired import HOME, ROOT
from setup.root import apt_install, can_apt
from setup.session import Failed, Session

_OWN = ROOT / "uv"
_REQUIREMENT = "uv>=0.9,<1"
_INSTALLER = "https://astral.sh/uv/install.sh"


def find() -> Optional[str]:
    candidates = [_OWN / "bin" / "uv", HOME / ".local" / "bin" / "uv", HOME / ".cargo" / "bin" / "uv"]
    own = next((str(path) for path in candidates if _runs(str(path))), None)
    on_path = shutil.which("uv")
    return own or (on_path if on_path and _runs(on_path) else None)


def ensure(session: Session) -> str:
    """The path of a uv that runs. Raises Failed after every way was tried."""
    found = find()
    if found:
        return found
    session.say("getting uv")
    problems = []
    for way in (_by_pip, _by_bundled_pip, _by_venv, _by_installer, _by_apt_and_venv):
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
    """The wheel with which `venv` would make a pip; it runs as it is, in half the time."""
    wheels = glob.glob("/usr/share/python-wheels/pip-*.whl")  # Debian's place for it
    if not wheels:
        raise Failed("this Python brings no pip")
    _install(session, [sys.executable, wheels[0] + "/pip"])


def _install(session: Session, pip: List[str]) -> None:
    session.run([*pip, "install", "-q", "--target", str(_OWN), "--upgrade", _REQUIREMENT])


def _by_venv(session: Session) -> None:
    session.run([sys.executable, "-m", "venv", "--clear", str(_OWN)])
    session.run([str(_OWN / "bin" / "python"), "-m", "pip", "install", "-q", _REQUIREMENT])


def _by_installer(session: Session) -> None:
    script = ROOT / "uv-install.sh"
    with urllib.request.urlopen(_INSTALLER, timeout=20) as answer:
        script.write_bytes(answer.read())
    env = {"UV_UNMANAGED_INSTALL": str(_OWN / "bin"), "UV_NO_MODIFY_PATH": "1"}
    session.run(["sh", str(script)], env=env, timeout_s=300)


def _by_apt_and_venv(session: Session) -> None:
    if not can_apt():
        raise Failed("python3-venv is missing, and there is no right to install it")
    apt_install(session, "python3-venv")
    _by_venv(session)


def _runs(path: str) -> bool:
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        return False
    return (
        subprocess.run([path, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
        == 0
    )
