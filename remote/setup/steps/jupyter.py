"""JupyterLab on 127.0.0.1 with a token, in tmux: running, and the one that is wanted."""

from typing import Tuple

from setup import jupyter_server, records
from setup.desired import Desired, fingerprint
from setup.session import Session
from setup.step import State, Step, done, needed


def check(desired: Desired) -> State:
    if not jupyter_server.answers():
        return needed("JupyterLab is not running")
    record = records.read("jupyter")
    if record is None or record["fingerprint"] != _fingerprint(desired):
        kernels = jupyter_server.running_kernels()
        if kernels:  # a restart would lose what they hold in memory
            return done("%s; new settings wait for its next start: %s is open" % (_line(), kernels[0]))
        return needed("JupyterLab has other settings")
    return done(_line())


def apply(desired: Desired, session: Session) -> State:
    session.say("starting JupyterLab")
    jupyter_server.stop()
    port = jupyter_server.start(desired.jupyter_port)
    if port != desired.jupyter_port:
        session.say("port %d is taken: on %d" % (desired.jupyter_port, port))
    records.write("jupyter", _fingerprint(desired), _line())
    return done(_line())


def _line() -> str:
    return "JupyterLab answers on port %s" % jupyter_server.port()


def _fingerprint(desired: Desired) -> str:
    sources = [path.read_text(encoding="utf-8") for path in (jupyter_server.CONFIG, jupyter_server.START)]
    return fingerprint(desired.jupyter_port, sources)


def _after(desired: Desired) -> Tuple[str, ...]:
    # PyTorch adds to the environment; what the user asks for may replace what JupyterLab runs on.
    return ("python", "code", "packages") if desired.packages else ("python", "code")


STEP = Step("jupyter", check, apply, after=_after)
