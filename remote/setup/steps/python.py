"""Python for the user, and JupyterLab in it: an environment by uv. PyTorch comes after, and takes longer."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict

from setup import pip_settings, records, uv
from setup.desired import REMOTE, ROOT, VENV, Desired, fingerprint
from setup.session import Session
from setup.step import State, Step, done, needed

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
_PYTHON = VENV / "bin" / "python"
_OLDEST = (3, 11)
_MANAGED = "3.12"  # what uv brings where the system's Python is older


def check(desired: Desired) -> State:
    record = records.read("python")
    if record is None or not _PYTHON.exists():
        return needed("no Python environment yet")
    if record["fingerprint"] != _fingerprint():
        return needed("another JupyterLab is wanted")
    return done(record["line"])


def apply(desired: Desired, session: Session) -> State:
    tool = uv.ensure(session)
    env = environment()
    if not _works():
        _make_environment(session, tool, env)
    session.say("installing JupyterLab")
    session.run([tool, "pip", "install", "-r", str(REQUIREMENTS)], env=env, timeout_s=3600)
    _make_remote_importable()
    version = session.run([str(_PYTHON), "-c", "import platform; print(platform.python_version())"])
    line = "Python %s, JupyterLab %s" % (version, version_of("jupyterlab"))
    records.write("python", _fingerprint(), line)
    return done(line)


def environment() -> Dict[str, str]:
    """For uv: the machine's own pip settings, where to install, and to outlast a minute without network."""
    return dict(
        pip_settings.uv_environment(pip_settings.read()),
        VIRTUAL_ENV=str(VENV),
        UV_NO_PROGRESS="1",
        UV_HTTP_RETRIES=os.environ.get("UV_HTTP_RETRIES", "6"),
    )


def version_of(package: str) -> str:
    """Of what is installed, as its own records tell; "?" where they do not."""
    for found in VENV.glob("lib/python3*/site-packages/%s-*.dist-info" % package):
        return found.name[len(package) + 1 : -len(".dist-info")]
    return "?"


def _make_environment(session: Session, tool: str, env: Dict[str, str]) -> None:
    wanted = sys.executable if sys.version_info >= _OLDEST else _find_newer(tool)
    if wanted is None:
        session.say("getting Python %s (this system's is %d.%d)" % ((_MANAGED,) + sys.version_info[:2]))
        wanted = _MANAGED
        env = dict(env, UV_PYTHON_INSTALL_DIR=str(ROOT / "pythons"))
    session.say("making the environment")
    shutil.rmtree(str(VENV), ignore_errors=True)
    session.run([tool, "venv", "--no-project", "--python", wanted, str(VENV)], env=env, timeout_s=900)


def _find_newer(tool: str) -> "str | None":
    """A Python of the system that is new enough, or None."""
    found = subprocess.run(
        [tool, "python", "find", "--no-project", "--no-python-downloads", ">=%d.%d" % _OLDEST],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"},
    )
    return found.stdout.decode().strip() or None


def _works() -> bool:
    """Whether there is an environment and it was made whole."""
    if not _PYTHON.exists():
        return False
    return subprocess.run([str(_PYTHON), "-c", "import sys"], stderr=subprocess.DEVNULL).returncode == 0


def _make_remote_importable() -> None:
    """So that `from vgg16 import Vgg16` works in every notebook and job."""
    for packages in VENV.glob("lib/python3*/site-packages"):
        records.write_atomically(packages / "gpu_box.pth", str(REMOTE) + "\n")


def _fingerprint() -> str:
    return fingerprint(REQUIREMENTS.read_text(encoding="utf-8"))


STEP = Step("python", check, apply)
