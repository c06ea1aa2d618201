"""Installs PyTorch and the config's `packages` in the environment of step `python`."""

from typing import Dict, List

from setup import addresses, card, compiler, records, torch_build, uv, watcher
from setup.desired import Desired, fingerprint
from setup.session import Failed, Session
from setup.step import State, Step, done, needed
from setup.steps.python import PYTHON, REQUIREMENTS, environment, version_of

# Built for CUDA 12 whatever CUDA PyTorch uses: it includes its libraries, runs on every later driver and
# still supports Volta (p3), unlike the build for CUDA 13. Installed separately, because the user's packages
# may conflict.
_DECODER = "nvidia-nvimgcodec-cu12[nvjpeg]==0.9.0.20"
_TRY_CARDS_TIMEOUT_S = 600  # for eight cards without persistence mode and a disk that loads lazily


def check(desired: Desired) -> State:
    record = records.read("packages")
    if record is None or version_of("torch") == "?":
        return needed("no PyTorch yet")
    if record["fingerprint"] != _fingerprint(desired):
        return needed("other packages are wanted")
    return done(record["line"])


def apply(desired: Desired, session: Session) -> State:
    tool = uv.ensure(session)
    had_pytorch = version_of("torch") != "?"
    line = _install(desired, session, tool)
    problem = _try_cards(session)
    if problem and had_pytorch and card.models():
        # uv keeps an installed build of this version even if it is for CPU, another driver or another card.
        line = _install(desired, session, tool, "--reinstall-package", "torch")
        problem = _try_cards(session)
    if problem and not watcher.shares_its_host():
        raise Failed(problem)
    if problem:
        session.note(problem)
    line += _install_decoder(session, tool)
    if card.models():
        compiler.ensure(session, PYTHON)
    records.write("packages", _fingerprint(desired), line)
    return done(line)


def _install(desired: Desired, session: Session, tool: str, *options: str) -> str:
    # Resolve everything together, so that conflicts show before anything changes.
    with addresses.listed(desired.packages, environment()) as (more, env):
        base = [tool, "pip", "install", "-r", str(REQUIREMENTS), *options, *more]
        return _install_with_torch(session, base, env)


def _install_with_torch(session: Session, base: List[str], env: Dict[str, str]) -> str:
    problems: List[str] = []
    for source in torch_build.sources(card.models()):
        session.say("installing packages, with " + source.line)
        if source.size:
            session.note("no CPU build of PyTorch is reachable: installing the CUDA build, " + source.size)
        try:
            session.run(base + [source.requirement, *source.options], env=env, timeout_s=3600)
        except Failed as problem:
            if "torch" not in str(problem):
                raise  # another source of PyTorch would not help
            problems.append("%s: %s" % (source.line, problem))
            continue
        return "torch %s" % version_of("torch")
    raise Failed("\n".join(problems))


def _try_cards(session: Session) -> str:
    """Why PyTorch cannot use a card, in one line with the remedy; "" if it can or without a card."""
    if not card.present() or (watcher.shares_its_host() and not card.models()):
        return ""
    session.say("trying PyTorch on the card")
    # All cards must work, whatever the login's CUDA_VISIBLE_DEVICES.
    command = ["env", "-u", "CUDA_VISIBLE_DEVICES", str(PYTHON), "-W", "ignore", "-m", "vgg16.device"]
    try:
        session.run(command, timeout_s=_TRY_CARDS_TIMEOUT_S)
    except Failed as problem:
        return str(problem).splitlines()[-1]
    return ""


def _install_decoder(session: Session, tool: str) -> str:
    """Install the JPEG decoder for the card. Without it the CPU decodes: a failure is only shown."""
    if not card.models():
        return ""
    session.say("installing the card's JPEG decoder")
    try:
        session.run([tool, "pip", "install", _DECODER], env=environment(), timeout_s=900)
    except Failed as problem:
        session.say("no JPEG decoder for the card (%s): the CPU decodes" % str(problem).splitlines()[-1])
        return ""
    return ", JPEGs decoded on the card"


def _fingerprint(desired: Desired) -> str:
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    # Another driver may need another build.
    for_the_card = card.models() != [] and [_DECODER, card.module_version(), "compiler"]
    return fingerprint(wanted, torch_build.VERSION, sorted(desired.packages), for_the_card)


# The driver decides the build of PyTorch; without a driver the environment is still useful.
STEP = Step("packages", check, apply, after=lambda desired: ("python", "driver"), despite=("driver",))
