"""Python for the user: an environment with JupyterLab, PyTorch and what `packages` asks for, by uv."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

from setup import card, pip_settings, records, torch_build, uv
from setup.desired import REMOTE, ROOT, VENV, Desired, fingerprint
from setup.session import Failed, Session
from setup.step import State, Step, done, needed

_PYTHON = VENV / "bin" / "python"
_OLDEST = (3, 11)
_MANAGED = "3.12"  # what uv brings where the system's Python is older
# For CUDA 12, whatever CUDA PyTorch has with it: it brings what it needs, runs on every later driver, and
# still on Volta (p3), which the build for CUDA 13 does not. Apart from the others: the user's may disagree.
_DECODER = "nvidia-nvimgcodec-cu12[nvjpeg]==0.9.0.20"
_REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"


def check(desired: Desired) -> State:
    record = records.read("python")
    if record is None or not _PYTHON.exists():
        return needed("no Python environment yet")
    if record["fingerprint"] != _fingerprint(desired):
        return needed("other packages are wanted")
    return done(record["line"])


def apply(desired: Desired, session: Session) -> State:
    tool = uv.ensure(session)
    env = dict(pip_settings.uv_environment(pip_settings.read()), VIRTUAL_ENV=str(VENV), UV_NO_PROGRESS="1")
    if not _works():
        _make_environment(session, tool, env)
    line = _install(desired, session, tool, env) + _install_decoder(session, tool, env)
    _make_remote_importable()
    records.write("python", _fingerprint(desired), line)
    return done(line)


def _install(desired: Desired, session: Session, tool: str, env: Dict[str, str]) -> str:
    # One resolution for all of it: packages that disagree are found before anything changes.
    base = [tool, "pip", "install", "-r", str(_REQUIREMENTS), *desired.packages]
    problems: List[str] = []
    for source in torch_build.sources(gpu=card.models() != []):
        session.say("installing packages, with " + source.line)
        try:
            session.run(base + [source.requirement, *source.options], env=env, timeout_s=3600)
        except Failed as problem:
            if "torch" not in str(problem):
                raise  # another package is the matter: another source of PyTorch would not help
            problems.append("%s: %s" % (source.line, problem))
            continue
        version = session.run([str(_PYTHON), "-c", "import platform; print(platform.python_version())"])
        return "Python %s, torch %s" % (version, _torch_version())
    raise Failed("\n".join(problems))


def _install_decoder(session: Session, tool: str, env: Dict[str, str]) -> str:
    """Pictures are decoded on the card where this is there, and by the CPU where it is not: no failure."""
    if not card.models():
        return ""
    session.say("installing the card's JPEG decoder")
    try:
        session.run([tool, "pip", "install", _DECODER], env=env, timeout_s=900)
    except Failed as problem:
        session.say("no JPEG decoder for the card (%s): the CPU decodes" % str(problem).splitlines()[-1])
        return ""
    return ", JPEGs decoded on the card"


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


def _torch_version() -> str:
    for found in VENV.glob("lib/python3*/site-packages/torch-*.dist-info"):
        return found.name[len("torch-") : -len(".dist-info")]
    return "?"


def _fingerprint(desired: Desired) -> str:
    wanted = _REQUIREMENTS.read_text(encoding="utf-8")
    for_the_card = card.models() != [] and _DECODER
    return fingerprint(wanted, torch_build.VERSION, sorted(desired.packages), for_the_card)


STEP = Step("python", check, apply, after=("driver",))
