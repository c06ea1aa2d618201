"""Makes the user's Python environment by uv. Step `packages` adds PyTorch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict

from setup import pip_settings, reboot, records, uv
from setup.desired import REMOTE, ROOT, VENV, Desired, fingerprint
from setup.session import Session
from setup.step import State, Step, done, needed

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
PYTHON = VENV / "bin" / "python"
_PYTHONS = ROOT / "pythons"  # those that uv gets
_OLDEST = (3, 11)
_NEWER = ">=%d.%d" % _OLDEST
_MANAGED = "3.12"  # uv's Python, if the system's is older than _OLDEST and the project names none


def check(desired: Desired) -> State:
    record = records.read("python")
    if record is None or not PYTHON.exists():
        return needed("no Python environment yet")
    if record["fingerprint"] != _fingerprint(desired):
        return needed("another Python or other base packages are required")
    return done(record["line"])


def apply(desired: Desired, session: Session) -> State:
    tool = uv.ensure(session)
    env = environment()
    asked = desired.python_version
    if not _works():
        _make_environment(session, tool, asked)
    elif asked and not _find(tool, asked, VIRTUAL_ENV=str(VENV)).startswith(str(VENV)):
        work = reboot.running_work()
        if work:
            session.note("Python %s comes at a later `up`: %s is running" % (asked, " and ".join(work)))
            return done(_line(session))
        _make_environment(session, tool, asked)
    session.say("installing the base packages")
    session.run([tool, "pip", "install", "-r", str(REQUIREMENTS)], env=env, timeout_s=3600)
    _make_remote_importable()
    line = _line(session)
    records.write("python", _fingerprint(desired), line)
    return done(line)


def environment() -> Dict[str, str]:
    """uv's environment: pip's settings, the target, and retries for a minute without network."""
    return dict(
        pip_settings.uv_environment(pip_settings.read()),
        VIRTUAL_ENV=str(VENV),
        UV_NO_PROGRESS="1",
        UV_HTTP_RETRIES=os.environ.get("UV_HTTP_RETRIES", "6"),
    )


def version_of(package: str) -> str:
    """The installed version from its metadata, or "?"."""
    for found in VENV.glob("lib/python3*/site-packages/%s-*.dist-info" % package):
        return found.name[len(package) + 1 : -len(".dist-info")]
    return "?"


def _make_environment(session: Session, tool: str, asked: str) -> None:
    """asked: the version, as `Desired` has it. The old environment is kept until its Python is there."""
    env = dict(environment(), UV_PYTHON_INSTALL_DIR=str(_PYTHONS))
    wanted = sys.executable if sys.version_info >= _OLDEST and not asked else _find(tool, asked or _NEWER)
    if not wanted:
        wanted = asked or _MANAGED
        session.say("getting Python %s (this system's is %d.%d)" % ((wanted,) + sys.version_info[:2]))
        session.run([tool, "python", "install", "--no-bin", wanted], env=env, timeout_s=900)
    session.say("making the environment")
    shutil.rmtree(str(VENV), ignore_errors=True)
    records.write("environment", "", "")  # the project's packages were in it
    session.run([tool, "venv", "--no-project", "--python", wanted, str(VENV)], env=env, timeout_s=900)


def _find(tool: str, asked: str, **env: str) -> str:
    """A Python of this machine that is as asked, or ""."""
    present = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    found = subprocess.run(
        [tool, "python", "find", "--no-project", "--no-python-downloads", asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(present, UV_PYTHON_INSTALL_DIR=str(_PYTHONS), **env),
    )
    return found.stdout.decode().strip()


def _line(session: Session) -> str:
    return "Python " + session.run([str(PYTHON), "-c", "import platform; print(platform.python_version())"])


def _works() -> bool:
    """Whether the environment exists and its Python runs."""
    if not PYTHON.exists():
        return False
    return subprocess.run([str(PYTHON), "-c", "import sys"], stderr=subprocess.DEVNULL).returncode == 0


def _make_remote_importable() -> None:
    """Make `from vgg16 import Vgg16` work in every notebook and job."""
    for packages in VENV.glob("lib/python3*/site-packages"):
        records.write_atomically(packages / "gpu_box.pth", str(REMOTE) + "\n")


def _fingerprint(desired: Desired) -> str:
    asked = [desired.python_version] if desired.python_version else []
    return fingerprint(REQUIREMENTS.read_text(encoding="utf-8"), *asked)


STEP = Step("python", check, apply)
