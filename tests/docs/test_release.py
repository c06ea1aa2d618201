"""Releases: reproducible, accepted by PyPI, and built only after the laptop's tests pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpu_box import __version__
from tests.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BUILD = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]


def read(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    done = subprocess.run([*BUILD, str(folder), str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_another_checkout_on_another_day_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "elsewhere"
    checkout.mkdir()
    for name in ("src", "infra", "remote"):
        shutil.copytree(
            ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE", "config.example.yaml", ".gitignore"):
        shutil.copyfile(ROOT / name, checkout / name)
    long_ago = time.time() - 400 * 86400
    for path in checkout.rglob("*"):
        os.utime(path, (long_ago, long_ago))
    again = tmp_path / "again"
    command = [*BUILD, str(again), "--wheel", str(checkout)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TZ": "Asia/Tokyo"})
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = again.iterdir()
    assert wheel.read_bytes() == (built / wheel.name).read_bytes()


def test_pypi_would_take_it_without_a_warning(built: Path) -> None:
    files = [str(path) for path in built.iterdir()]
    assert len(files) == 2
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *files], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_version_stands_in_one_place() -> None:
    held = [
        path.relative_to(ROOT)
        for path in (ROOT / "pyproject.toml", *(ROOT / "src").rglob("*.py"))
        if re.search(rf"version__? *= *[\"']{re.escape(__version__)}", path.read_text(encoding="utf-8"))
    ]
    assert held == [Path("src/gpu_box/__init__.py")]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_what_the_makefile_has_and_may_write_nothing(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    commands = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    made = {word for command in commands for word in re.findall(r"^make (\w+)", command, re.M)}
    assert made and made <= targets
    assert any(".ci/run" in command for command in commands)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_every_python_that_is_promised_is_tested_on_both_systems() -> None:
    jobs = read(ROOT / ".github" / "workflows" / "test.yml")["jobs"]
    for system in ("linux", "macos"):
        assert jobs[system]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_only_the_job_that_publishes_may_ask_pypi_and_it_builds_nothing() -> None:
    jobs = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})] == ["publish"]
    assert not [step for step in jobs["publish"]["steps"] if "run" in step or "password" in str(step)]


def test_a_report_of_a_bug_must_hold_what_doctor_says() -> None:
    body = read(ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml")["body"]
    [doctor] = [field for field in body if "gpu-box doctor --json" in field["attributes"]["label"]]
    assert doctor["validations"] == {"required": True}


def test_a_commit_is_held_to_the_linters_that_the_gate_runs() -> None:
    [repo] = read(ROOT / ".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"] for hook in repo["hooks"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    gate = re.search(r"^check: (.*)\n\t@\$\(MAKE\) --no-print-directory -j 2 ([a-z ]+)$", makefile, re.M)
    assert repo["repo"] == "local" and entries == ["make lint", "make types"]
    assert gate and "lint" in gate[1].split() and "types" in gate[2].split()
