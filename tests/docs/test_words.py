"""Words and turns of phrase that make texts hard to read do not come back (see FOLDERS for where)."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "README.md",
    "benchmarks",
    "config.example.yaml",
    "docs",
    "infra",
    "remote/attach",
    "remote/jobs",
    "remote/jupyter",
    "remote/scratch",
    "remote/setup",
    "remote/sync",
    "remote/vgg16",
    "remote/watch",
    "src/gpu_box",
    "src/local_aws",
    "tests/aws",
    "tests/box",
    "tests/browser",
    "tests/cli",
    "tests/config",
    "tests/docs",
    "tests/faults",
    "tests/hostile",
    "tests/local_aws",
    "tests/machine",
    "tests/model",
    "tests/people",
    "tests/plan",
    "tests/races",
    "tests/real_machine",
    "tests/store",
    "tests/vgg16",
    "tests/view",
    "tests/watch",
    "testbed",
)
_SUFFIXES = (".css", ".md", ".py", ".service", ".sh", ".svg", ".timer", ".yaml")
_ALLOWED = ("DynamicUser=, nobody",)  # a user's name
_WORDS = ("told", "nobody", "whoever", "somebody")
_PHRASES = ("as far as", "where there is one", "where there is some")
# Also as a part of a name: nobody_asked.
_BANNED = re.compile(
    rf"(?<![A-Za-z])(?:{'|'.join((*_WORDS, *_PHRASES))})(?![A-Za-z])".replace(" ", r"\s+"), re.IGNORECASE
)


def _files(folder: str) -> list[Path]:
    found = [ROOT / folder] if (ROOT / folder).is_file() else sorted((ROOT / folder).rglob("*"))
    return [path for path in found if path.suffix in _SUFFIXES and path != Path(__file__)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_has_a_banned_word(folder: str) -> None:
    wrong = []
    for path in _files(folder):
        text = path.read_text()
        for allowed in _ALLOWED:
            text = text.replace(allowed, "")
        for found in _BANNED.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            wrong.append(f"{path.relative_to(ROOT)}:{line}: {found[0]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_docstring_begins_with_of(folder: str) -> None:
    wrong = []
    for path in _files(folder):
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                if text.startswith("Of "):
                    wrong.append(f"{path.relative_to(ROOT)}: {text.splitlines()[0]}")
    assert not wrong, "\n".join(wrong)
