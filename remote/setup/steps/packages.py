"""PyTorch, and what `packages` asks for, in the environment that step `python` made."""

from typing import List

from setup import card, records, torch_build, uv
from setup.desired import Desired, fingerprint
from setup.session import Failed, Session
from setup.step import State, Step, done, needed
from setup.steps.python import REQUIREMENTS, environment, version_of

# For CUDA 12, whatever CUDA PyTorch has with it: it brings what it needs, runs on every later driver, and
# still on Volta (p3), which the build for CUDA 13 does not. Apart from the others: the user's may disagree.
_DECODER = "nvidia-nvimgcodec-cu12[nvjpeg]==0.9.0.20"


def check(desired: Desired) -> State:
    record = records.read("packages")
    if record is None or version_of("torch") == "?":
        return needed("no PyTorch yet")
    if record["fingerprint"] != _fingerprint(desired):
        return needed("other packages are wanted")
    return done(record["line"])


def apply(desired: Desired, session: Session) -> State:
    tool = uv.ensure(session)
    line = _install(desired, session, tool) + _install_decoder(session, tool)
    records.write("packages", _fingerprint(desired), line)
    return done(line)


def _install(desired: Desired, session: Session, tool: str) -> str:
    # One resolution with what is there already: packages that disagree are found before anything changes.
    base = [tool, "pip", "install", "-r", str(REQUIREMENTS), *desired.packages]
    problems: List[str] = []
    for source in torch_build.sources(gpu=card.models() != []):
        session.say("installing packages, with " + source.line)
        if source.size:
            session.note("no CPU build of PyTorch within reach: taking the one with CUDA, " + source.size)
        try:
            session.run(base + [source.requirement, *source.options], env=environment(), timeout_s=3600)
        except Failed as problem:
            if "torch" not in str(problem):
                raise  # another package is the matter: another source of PyTorch would not help
            problems.append("%s: %s" % (source.line, problem))
            continue
        return "torch %s" % version_of("torch")
    raise Failed("\n".join(problems))


def _install_decoder(session: Session, tool: str) -> str:
    """Pictures are decoded on the card where this is there, and by the CPU where it is not: no failure."""
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
    for_the_card = card.models() != [] and _DECODER
    return fingerprint(wanted, torch_build.VERSION, sorted(desired.packages), for_the_card)


STEP = Step("packages", check, apply, after=lambda desired: ("python", "driver"))
