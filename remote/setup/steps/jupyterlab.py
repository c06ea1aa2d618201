"""JupyterLab in an environment of its own: what the user installs for a project cannot break it."""

from pathlib import Path

from setup import records, uv
from setup.desired import JUPYTER_VENV, Desired, fingerprint
from setup.session import Session
from setup.step import State, Step, done, needed
from setup.steps.python import PYTHON, environment

_PINNED = (Path(__file__).resolve().parent.parent / "jupyterlab.txt").read_text(encoding="utf-8").strip()
_PROGRAM: Path = JUPYTER_VENV / "bin" / "jupyter-lab"


def check(desired: Desired) -> State:
    record = records.read("jupyterlab")
    if record is None or not _PROGRAM.exists():
        return needed("no JupyterLab yet")
    if record["fingerprint"] != fingerprint(_PINNED):
        return needed("another JupyterLab is wanted")
    return done(record["line"])


def apply(desired: Desired, session: Session) -> State:
    tool = uv.ensure(session)
    env = dict(environment(), VIRTUAL_ENV=str(JUPYTER_VENV))
    if not (JUPYTER_VENV / "bin" / "python").exists():
        make = [tool, "venv", "--no-project", "--clear", "--python", str(PYTHON), str(JUPYTER_VENV)]
        session.run(make, env=env, timeout_s=900)
    session.say("installing JupyterLab")
    session.run([tool, "pip", "install", _PINNED], env=env, timeout_s=3600)
    line = _PINNED.replace("jupyterlab==", "JupyterLab ")
    records.write("jupyterlab", fingerprint(_PINNED), line)
    return done(line)


STEP = Step("jupyterlab", check, apply, after=lambda desired: ("python",))
