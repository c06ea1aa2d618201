"""The Python version that a project without uv.lock asks for: `.python-version`, else `requires-python`.

The box's own environment is made with it (remote/setup/steps/python.py). With a lock, uv reads both itself.
"""

from __future__ import annotations

import codecs
import re
import tomllib
from pathlib import Path

from gpu_box.config.model import Config
from gpu_box.errors import InputError

# The wheels of remote/setup/requirements.txt and of PyTorch are for these.
_MINORS = range(11, 15)
_OURS = f">=3.{_MINORS.start},<3.{_MINORS.stop}"
_MOST_BYTES = 1 << 20
# Also as pyenv and uv write it: v3.12, python-3.12.1, 3.12-dev, cpython-3.12.1-linux-x86_64-gnu
_VERSION = re.compile(r"(?:v|c?python[@-]?)?(\d+(?:\.\d+){0,2})(?:-dev|(?:-[a-z0-9_]+){3})?", re.IGNORECASE)
# Another Python, such as pypy3.10 or 3.13t. Any other word is a name of pyenv's: myproject, system.
_OTHER_PYTHON = re.compile(r"(?:pypy|graalpy|ironpython|jython|pyodide)|[\d.]+t\b", re.IGNORECASE)
# https://packaging.python.org/en/latest/specifications/version-specifiers/, without local versions and epochs
_CLAUSE = re.compile(
    r"(===|~=|==|!=|<=|>=|<|>)\s*v?(\d+(?:\.\d+){0,2})((?:\.?(?:a|b|rc|dev|post)\d+)*)(\.\*)?"
)


def read(config: Config) -> str:
    """The version specifier for uv, such as "==3.12.*,>=3.11,<3.15"; "" if any Python will do.

    Raises InputError for a version that the box's own environment cannot have.
    """
    source = config.sync.source
    if config.path is None or config.python == "none" or (source / "uv.lock").is_file():
        return ""
    where, asked = source / ".python-version", _first_line(source / ".python-version")
    if not (_VERSION.fullmatch(asked) or _OTHER_PYTHON.match(asked)):
        where, asked = source / "pyproject.toml", _requires_python(source / "pyproject.toml")
    if not asked:
        return ""
    version = _VERSION.fullmatch(asked)
    if version:
        asked = f"=={version[1]}" + ("" if version[1].count(".") == 2 else ".*")
    elif not any(map(_CLAUSE.match, asked.split(","))) and where.name == "pyproject.toml":
        raise InputError(
            f"requires-python is no version specifier: {asked[:60]!r}",
            where=str(where),
            remedy="Write it as `>=3.11,<4`, for example.",
        )
    clauses = [_CLAUSE.fullmatch(part.strip()) for part in asked.split(",") if part.strip()]
    if not any(
        all(clause and _allows(clause, (3, minor, patch)) for clause in clauses)
        for minor in _MINORS
        for patch in range(100)
    ):
        raise InputError(
            f"it asks for Python {version[1] if version else asked[:60]}, "
            f"but the box's own environment can only have 3.{_MINORS.start} to 3.{_MINORS[-1]}",
            where=str(where),
            remedy="Ask for one of these, or run `uv lock`: then the project gets an environment of its own.",
        )
    return f"{asked},{_OURS}"


def wanted(config: Config) -> str:
    """As `read`, and "" for a version that `read` refuses."""
    try:
        return read(config)
    except InputError:
        return ""


def _allows(clause: re.Match[str], version: tuple[int, int, int]) -> bool:
    operator, wildcard = clause[1], bool(clause[4])
    given = tuple(map(int, clause[2].split(".")))
    padded = (*given, 0, 0)[:3]
    if operator in ("==", "!=", "==="):
        same = version[: len(given)] == given if wildcard else version == padded
        return same == (operator != "!=")
    if operator == "~=":
        return version >= padded and version[: len(given) - 1] == given[:-1]
    return {">=": version >= padded, "<=": version <= padded, ">": version > padded, "<": version < padded}[
        operator
    ]


def _first_line(path: Path) -> str:
    lines = (line.partition("#")[0].strip() for line in _text(path).splitlines())
    return next(filter(None, lines), "")


def _requires_python(path: Path) -> str:
    try:
        project = tomllib.loads(_text(path)).get("project", {})
    except tomllib.TOMLDecodeError:
        return ""  # uv reports the error when it installs the project
    asked = project.get("requires-python") if isinstance(project, dict) else None
    return asked.strip() if isinstance(asked, str) else ""


def _text(path: Path) -> str:
    """The file's text; "" if it cannot be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES)
        # PowerShell's `>` writes UTF-16.
        utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return raw.decode("utf-16" if utf16 else "utf-8-sig", "replace")
    except OSError:
        return ""
