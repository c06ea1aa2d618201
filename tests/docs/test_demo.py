"""`make demo` leaves nothing outside its folder, and names the caches of pip and uv that it leaves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.paths import ROOT

# Writes what gpu-box writes: its memory, its caches, a config, results; uv's cache is a box's.
GPU_BOX = """#!/bin/sh
set -eu
mkdir -p "$GPU_BOX_HOME" "${XDG_CACHE_HOME:-$HOME/.cache}/gpu-box/models" "${UV_CACHE_DIR:-$HOME/.cache/uv}"
touch "$GPU_BOX_HOME/memory"
case "$*" in
  init*) printf '  key: ~/.ssh/gpu-box\\n  config: true\\n' >config.yaml ;;
  *train*) [ "${FAILS:-}" = "" ] || exit 3 ;;
  *pull*) mkdir results; echo 1 >results/submission.csv
          echo '{"held_out_accuracy": 1}' >results/summary.json ;;
esac
"""


def _demo(tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    program = tmp_path / "demo" / "venv" / "bin" / "gpu-box"
    program.parent.mkdir(parents=True)
    program.write_text(GPU_BOX)
    program.chmod(0o755)
    (tmp_path / "home").mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), **more}
    return subprocess.run(
        ["bash", str(ROOT / "docs" / "demo.sh"), str(tmp_path / "demo")],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )


def test_the_demo_leaves_only_the_caches_that_it_names(tmp_path: Path) -> None:
    done = _demo(tmp_path)
    assert done.returncode == 0, done.stderr
    left = [path for path in (tmp_path / "home").rglob("*") if not any(path.iterdir())]
    assert left == [tmp_path / "home" / ".cache" / "uv"]
    assert f"\n  {left[0]}\n" in done.stdout
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["venv", "work"]


@pytest.mark.parametrize("fails", ["", "yes"])
def test_the_user_s_own_caches_are_used_also_when_it_fails(tmp_path: Path, fails: str) -> None:
    done = _demo(tmp_path, XDG_CACHE_HOME=str(tmp_path / "own"), FAILS=fails)
    assert done.returncode == (3 if fails else 0)
    assert list((tmp_path / "home").iterdir()) == []
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["uv"]
