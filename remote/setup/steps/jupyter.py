"""Runs JupyterLab on 127.0.0.1 with a token, in tmux, with the current settings."""

from setup import jupyter_server, kernels, records, variables
from setup.desired import Desired, fingerprint
from setup.session import Session
from setup.step import State, Step, done, needed


def check(desired: Desired) -> State:
    if not jupyter_server.answers():
        return needed("JupyterLab is not running")
    record = records.read("jupyter")
    if record is None or record["fingerprint"] != _fingerprint(desired):
        kernels = jupyter_server.running_kernels()
        if kernels:  # a restart would lose their memory
            return done("%s; new settings wait for its next start: %s is open" % (_line(), kernels[0]))
        return needed("JupyterLab has other settings")
    return done(_line())


def apply(desired: Desired, session: Session) -> State:
    session.say("starting JupyterLab: seconds, or minutes on a new disk")
    kernels.write()
    jupyter_server.stop()
    port = jupyter_server.start(desired.jupyter_port)
    if port != desired.jupyter_port:
        session.say("port %d is taken: on %d" % (desired.jupyter_port, port))
    records.write("jupyter", _fingerprint(desired), _line())
    return done(_line())


def _line() -> str:
    return "JupyterLab answers on port %s" % jupyter_server.port()


def _fingerprint(desired: Desired) -> str:
    files = sorted(jupyter_server.CONFIG.parent.glob("*.*"))  # its configuration and its extension
    sources = [path.read_text(encoding="utf-8") for path in files]
    # Kernels inherit its environment variables.
    present = variables.digest() if desired.env is None else desired.env
    return fingerprint(desired.jupyter_port, sources, *([present] if present else []))


STEP = Step("jupyter", check, apply, after=lambda desired: ("jupyterlab", "code", "env"))
