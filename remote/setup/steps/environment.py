"""The project's own Python packages, from its lock or its list of requirements in ~/work.

uv.lock makes an environment of the project's own, ~/.gpu-box/project-venv, for jobs, shells and notebooks;
it is used once the file `ready` is in it. Requirements without a lock go on top of the box's own environment.
"""

import re
import shutil
from pathlib import Path
from typing import Dict, List

from setup import addresses, card, kernels, records, requirement_files, uv, variables, watcher
from setup.desired import PROJECT, PROJECT_READY, REMOTE, ROOT, WORK, Desired, fingerprint
from setup.session import Failed, Session, shortened
from setup.step import NOT_ASKED_FOR, State, Step, done, needed
from setup.steps.python import environment, version_of

_NAMES = ("uv.lock", "requirements.txt", "pyproject.toml")  # the first that is there counts
# Files of other tools, and what the user can do.
_OTHERS = {
    "environment.yml": "list its Python packages in requirements.txt, or make it with `setup:`",
    "environment.yaml": "list its Python packages in requirements.txt, or make it with `setup:`",
    "pixi.lock": "install pixi and run `pixi install` with `setup:`",
    "poetry.lock": "`poetry export -o requirements.txt` writes what gpu-box installs",
    "Pipfile.lock": "`pipenv requirements >requirements.txt` writes what gpu-box installs",
    "setup.py": "`setup: pip install -e .` in config.yaml does it",
}
# As a requirement, which begins a line of requirements.txt or a string of pyproject.toml.
_TORCH = re.compile(r"(?:^[ \t]*|[\"'])torch(?![\w.-])", re.MULTILINE | re.IGNORECASE)
_SHOWN = (
    "other users of the box can see the token of an address in pyproject.toml while git runs; "
    "`packages:` in config.yaml and requirements.txt keep it private"
)
_DYNAMIC_VERSION = re.compile(r"^\s*dynamic\s*=\s*\[[^\]]*[\"']version[\"']", re.MULTILINE)
# For setuptools-scm and hatch-vcs, pdm-backend, uv-dynamic-versioning, poetry-dynamic-versioning.
_NO_HISTORY = dict.fromkeys(
    (
        "SETUPTOOLS_SCM_PRETEND_VERSION",
        "PDM_BUILD_SCM_VERSION",
        "UV_DYNAMIC_VERSIONING_BYPASS",
        "POETRY_DYNAMIC_VERSIONING_BYPASS",
    ),
    "0",
)
_TIMEOUT_S = 4 * 3600  # an extension that is compiled
_FULL = "No space left on device"
_NO_LOCK = "Failed to parse `uv.lock`"
# How the line of uv's output that says what is wrong looks; the first pattern that matches any line counts.
_MATTERS = (
    re.compile(r"cause: Because |^ *[\u2570\u251c]\u2500\u25b6 Because "),
    re.compile(r"(not found|no such file).*(gcc|g\+\+|cc|cargo|cmake)|error: command", re.IGNORECASE),
    re.compile(r"error: (?!No solution)"),
)


def check(desired: Desired) -> State:
    if desired.python == "none":
        return (
            needed("the project's environment is no longer wanted")
            if PROJECT_READY.exists()
            else NOT_ASKED_FOR
        )
    source, record = _source(), records.read("environment")
    if source is None:
        return needed("the project has no uv.lock any more") if PROJECT_READY.exists() else NOT_ASKED_FOR
    if record is None or record["fingerprint"] != _fingerprint(desired, source):
        return needed("the packages of %s are to be installed" % source.name)
    if source.name == "uv.lock" and not PROJECT_READY.exists():
        return needed("the project's environment is not complete")
    return done(record["line"])


def apply(desired: Desired, session: Session) -> State:
    source = _source() if desired.python != "none" else None
    if source is None or source.name != "uv.lock":
        shutil.rmtree(str(PROJECT), ignore_errors=True)
        if (WORK / ".venv").is_symlink() and not (WORK / ".venv").exists():
            (WORK / ".venv").unlink()
        kernels.write()
    if source is None:
        return check(desired)
    if addresses.shown_by_git(WORK / "pyproject.toml"):
        session.note(_SHOWN)
    tool = uv.ensure(session)
    try:
        line = _sync(desired, session, tool) if source.name == "uv.lock" else _add(session, tool, source)
    except Failed as problem:
        raise Failed(_with_the_reason_last(str(problem))) from None
    records.write("environment", _fingerprint(desired, source), line)
    return done(line)


def _sync(desired: Desired, session: Session, tool: str) -> str:
    _install(desired, session, tool)
    _try_cards(session)
    _serve_uv(tool)
    records.write_atomically(PROJECT_READY, "")
    kernels.write()
    return "the project's environment is that of uv.lock"


def _install(desired: Desired, session: Session, tool: str) -> None:
    session.say("making the environment of uv.lock")
    PROJECT_READY.unlink(missing_ok=True)
    env = {name: value for name, value in _environment().items() if name != "VIRTUAL_ENV"}
    env.update(UV_PROJECT_ENVIRONMENT=str(PROJECT), UV_PYTHON_INSTALL_DIR=str(ROOT / "pythons"))
    sync = [tool, "sync", "--frozen", "--project", str(WORK)]
    if _has_a_version_of_git():
        # Only the project itself is without its history here: other packages keep their own versions.
        session.run([*sync, "--no-install-workspace"], env=env, cwd=WORK, timeout_s=_TIMEOUT_S)
        env = {**_NO_HISTORY, **env}
    session.run(sync, env=env, cwd=WORK, timeout_s=_TIMEOUT_S)
    with addresses.listed(desired.packages, dict(environment(), VIRTUAL_ENV=str(PROJECT))) as (more, env):
        # Notebooks need a kernel in it.
        session.run([tool, "pip", "install", "ipykernel", *more], env=env, timeout_s=_TIMEOUT_S)


def _serve_uv(tool: str) -> None:
    """Let `uv run` in ~/work find uv, and this environment instead of making one of its own."""
    for link, target in ((PROJECT / "bin" / "uv", tool), (WORK / ".venv", str(PROJECT))):
        if link.exists():
            continue  # the lock's own uv; an environment that the user has made
        if link.is_symlink():
            link.unlink()
        link.symlink_to(target)


def _has_a_version_of_git() -> bool:
    """Whether the project's version may come from its .git, which is not sent."""
    text = requirement_files.text_of(WORK / "pyproject.toml") if (WORK / "pyproject.toml").is_file() else ""
    return _DYNAMIC_VERSION.search(text) is not None and not (WORK / ".git").exists()


def _check_ahead(desired: Desired) -> State:
    source = _source() if desired.python != "none" else None
    return check(desired) if source and source.name == "uv.lock" else NOT_ASKED_FOR


def _apply_ahead(desired: Desired, session: Session) -> State:
    """Install what the lock names. `apply` then finds it, tries the card, and reports what fails.

    A failure is not final here: a compiler may be missing only because set-up has not installed it yet.
    """
    try:
        _install(desired, session, uv.ensure(session))
        session.say("the packages of uv.lock are there")
    except Failed as problem:
        session.say(
            "tried again after set-up: " + shortened(_with_the_reason_last(str(problem))).splitlines()[-1]
        )
    return NOT_ASKED_FOR


def _try_cards(session: Session) -> None:
    """Fail unless the PyTorch of the lock can use the card, as the box's own does."""
    if (
        not card.models()
        or watcher.shares_its_host()
        or not list(PROJECT.glob("lib/python3*/site-packages/torch"))
    ):
        return
    session.say("trying the lock's PyTorch on the card")
    python = str(PROJECT / "bin" / "python")
    session.run(
        [python, "-W", "ignore", "-m", "vgg16.device"], env={"PYTHONPATH": str(REMOTE)}, timeout_s=600
    )


def _add(session: Session, tool: str, source: Path) -> str:
    session.say("installing the packages of %s" % source.name)
    constraint: List[str] = []
    if not _names_torch(source) and version_of("torch") != "?":
        # The box's build fits its card: another package must not replace it.
        path = ROOT / "steps" / "torch.txt"
        records.write_atomically(path, "torch==%s\n" % version_of("torch"))
        constraint = ["--constraint", str(path)]
    file = source if source.name == "requirements.txt" else None
    with addresses.listed((), _environment(), file) as (files, env):
        command = [tool, "pip", "install", *(files or ["-r", str(source)]), *constraint]
        session.run(command, env=env, cwd=WORK, timeout_s=_TIMEOUT_S)
    return "the packages of %s are installed" % source.name


def _names_torch(source: Path) -> bool:
    texts = map(requirement_files.text_of, _files(source))
    return any(map(_TORCH.search, texts))


def _files(source: Path) -> List[Path]:
    """The file and, of requirements.txt, those that it includes."""
    if source.name != "requirements.txt":
        return [source]
    return requirement_files.with_included(source)


def _environment() -> Dict[str, str]:
    """With the user's variables: a private index may need a password of them."""
    return {**variables.values(), **environment()}


def other_tool() -> str:
    """One line about a project that another tool describes; "" where gpu-box installs its packages."""
    if _source() is None:
        for name, remedy in _OTHERS.items():
            if (WORK / name).is_file():
                return "%s is not installed by gpu-box: %s" % (name, remedy)
    return ""


def _source() -> "Path | None":
    for name in _NAMES:
        path = WORK / name
        if path.is_file() and (name != "pyproject.toml" or _has_dependencies(path)):
            return path
    return None


def _has_dependencies(path: Path) -> bool:
    """Whether its [project] table lists any: Python 3.8 has no TOML reader."""
    text = path.read_text(encoding="utf-8", errors="replace")
    table = re.search(r"^\[project\]\s*$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    return bool(table and re.search(r"^\s*dependencies\s*=\s*\[\s*[^\]\s]", table.group(1), re.MULTILINE))


def _fingerprint(desired: Desired, source: Path) -> str:
    parts = [desired.packages]
    for path in (*_files(source), WORK / "pyproject.toml", WORK / ".python-version"):
        parts.append(path.read_bytes()[: requirement_files.MOST_BYTES].hex() if path.is_file() else "")
    if source.name != "uv.lock":  # what it is put on top of
        parts += [
            record["fingerprint"] if record else "" for record in map(records.read, ("python", "packages"))
        ]
    return fingerprint(source.name, *parts)


def _with_the_reason_last(text: str) -> str:
    """The laptop shows the last line beside the first."""
    lines: List[str] = [line for line in text.splitlines() if line.strip()]
    if _FULL in text:
        return "\n".join(
            [*lines, "the box's disk is full: raise disk.size_gib in config.yaml, or remove files"]
        )
    if _NO_LOCK in text:
        reason = "uv.lock is damaged, or not uv's: `uv lock` on your computer makes it anew"
        return "\n".join([*lines, reason])
    found = next((line for pattern in _MATTERS for line in lines[1:] if pattern.search(line)), lines[-1])
    rest = [line for line in lines if line is not found]
    if found.startswith("error: "):  # uv tells the address first, the root of the trouble last
        causes = re.findall(r"^  cause: (.*)", text, re.MULTILINE)
        found = ": ".join([found, *causes[:1], *causes[1:][-1:]])
    return "\n".join([*rest, found])


STEP = Step("environment", check, apply)
AHEAD = Step("environment", _check_ahead, _apply_ahead)
