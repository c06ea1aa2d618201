"""A test that ends its worker's process fails alone: the others still run, and the suite ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .paths import ROOT

CRASHES = "import os\ndef test_first(): pass\ndef test_crash(): os._exit(1)\ndef test_after(): pass\n"
PASSES = "def test_one(): pass\n"


def test_the_suite_ends_and_all_other_tests_run(tmp_path: Path) -> None:
    for name, tests in {"a": PASSES, "b": CRASHES, "c": PASSES}.items():
        (tmp_path / f"test_{name}.py").write_text(tests)
    command = ["-m", "pytest", "-p", "testbed.scheduling", "-n", "1", "--dist", "loadfile", tmp_path]
    said = subprocess.run(
        [sys.executable, *command, "--no-loadscope-reorder", "-c", "/dev/null", "--rootdir", tmp_path],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "1 failed, 4 passed" in said.stdout, said.stdout + said.stderr
    assert "crashed while running" in said.stdout
