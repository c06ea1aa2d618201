"""The watch folder runs by itself on a bare machine with Python 3.8 and its standard library."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import watch

FOLDER = Path(watch.__file__).parent
SOURCES = sorted(FOLDER.rglob("*.py"))
SINCE_3_9 = {"zoneinfo", "graphlib", "tomllib"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_python_3_8_can_read_it_and_has_what_it_imports(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        for name in names:
            assert name.partition(".")[0] in sys.stdlib_module_names - SINCE_3_9, name


def test_the_folder_runs_by_itself(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "watch", ignore=shutil.ignore_patterns("__pycache__"))
    argv = [sys.executable, "-E", "-s", "-S", "-m", "watch", "status"]
    shown = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True)
    assert "no watcher has reported since boot" in shown.stdout
    assert not list(tmp_path.glob("*.json")), "status writes no file"
