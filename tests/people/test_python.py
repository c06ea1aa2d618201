"""`from gpu_box import Box`: the script of docs/python.md, run as a user runs it, and its errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import gpu_box
from gpu_box import Box, GpuBoxError
from gpu_box.api import Box as Own
from gpu_box.errors import InputError
from tests.paths import ROOT

from ..user import COMMAND, CONFIG, User

PAGE = (ROOT / "docs" / "python.md").read_text()
[SCRIPT] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


# What `up` may be given, and that AWS's deadline holds it, also after an `up` without it.
LIMITED = """
from datetime import datetime, timedelta
from decimal import Decimal
from gpu_box import Box, GpuBoxError

box = Box.load()
for wrong in {"run_for": timedelta(0)}, {"at_most": Decimal(-1)}:
    try:
        box.up(**wrong)
    except GpuBoxError as error:
        print("exit code", error.exit_code)
began = datetime.now().astimezone()
for limits, hours in ({"run_for": timedelta(hours=3)}, 3), ({"at_most": Decimal("0.5")}, 1), ({}, 1):
    left = box.up(**limits).deadline - began
    print("held" if timedelta(minutes=30) < left < timedelta(hours=hours, minutes=10) else left)
box.stop()
"""


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """In a project's folder, with the embedded cloud as this shell's AWS: `eval "$(gpu-box local env)"`."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "config.yaml").write_text("name: from-python\n" + CONFIG)
    (folder / "train.py").write_text(
        "import pathlib\nprint('training')\npathlib.Path('results/loss.txt').write_text('0.1')\n"
    )
    one = User(folder, {**os.environ, "GPU_BOX_HOME": str(tmp_path / "home")})
    one.environment |= one.json("local", "env")
    yield one
    subprocess.run([COMMAND, "local", "stop"], env=one.environment, check=True, capture_output=True)


def python(user: User, source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", source],
        cwd=user.folder,
        env=user.environment,
        capture_output=True,
        text=True,
        timeout=800,
    )


@pytest.mark.timeout(900)
def test_the_script_of_the_page_trains_pulls_and_stops_the_box(user: User) -> None:
    done = python(user, SCRIPT)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert re.fullmatch(r"g4dn\.xlarge at 127[\d.]+, \$0\.54 an hour, stops by itself at 20.*", first)
    assert rest[0] == "training"
    assert rest[1:] == ["1 files of results"]
    assert (user.folder / "results" / "loss.txt").read_text() == "0.1"
    assert "SSH" in done.stderr, "progress, as it was asked for"
    limited = python(user, LIMITED)
    assert limited.returncode == 0, limited.stderr
    assert limited.stdout.splitlines() == ["exit code 2"] * 2 + ["held", "held", "held"]
    seen = python(
        user,
        "from gpu_box import Box; box = Box.load(); "
        "print(box.status().state); print(box.down(keep_images=False)); print(box.status().state)",
    )
    assert seen.stdout.splitlines() == ["stopped", "Gone(box='from-python', state='none', left=())", "none"]
    assert seen.stderr == ""
    assert user.json("ls") == []


def test_what_goes_wrong_is_an_error_with_the_exit_code_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("name: a b\nboxes: 0\n")
    with pytest.raises(GpuBoxError) as wrong:
        Box.load()
    assert wrong.value.exit_code == 2 and str(wrong.value).count("\n") == 1, "every problem, a line each"
    (tmp_path / "config.yaml").write_text("name: many\nregion: us-east-1\nboxes: 2\n")
    with pytest.raises(InputError, match="one box at a time"):
        Box.load()
    assert Box.load(name="many-2").config.name == "many-2"
    assert Box.load(str(tmp_path / "config.yaml"), name="many-2").config.cluster == "many"


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda box: box.run(5), "Box.run(command): must be str or list or tuple, not int"),
        (lambda box: box.run(["sleep", 5]), "Box.run(command): must be str, not int"),
        (lambda box: box.run(b"ls"), "Box.run(command): must be str or list or tuple, not bytes"),
        (lambda box: box.run("ls", name=5), "Box.run(name)"),
        (lambda box: box.run("echo a\0b"), "run: the command has a NUL character in it"),
        (lambda box: box.pull(5), "Box.pull(path)"),
        (lambda box: box.pull(to=5), "Box.pull(to)"),
        (lambda box: box.up(wait=5), "Box.up(wait): must be timedelta, not int"),
        (lambda box: box.up(run_for=3), "Box.up(run_for): must be timedelta or None, not int"),
        (lambda box: box.up(at_most="5"), "Box.up(at_most)"),
        (lambda box: box.up(at_most=True), "Box.up(at_most)"),
        (lambda box: box.up(loosen="no"), "Box.up(loosen): must be bool, not str"),
        (lambda box: box.down(keep_images="no"), "Box.down(keep_images)"),
        (lambda _: Box.load(progress="yes"), "Box.load(progress)"),  # type: ignore[arg-type]
        (lambda box: box.up(wait=-timedelta(1)), "Box.up(wait): must not be below zero"),
        (lambda box: box.run("ls", on_text=5), "Box.run(on_text): must be a function, not int"),
        (lambda box: box.pull("results", ""), "Box.pull(to): must not be empty"),
        (lambda box: box.up(at_most=float("nan")), "up: "),
        (lambda _: Box.load(5), "Box.load(path)"),  # type: ignore[arg-type]
        (lambda _: Box.load(""), ".: cannot be read: Is a directory"),
        (lambda _: Box.load(name=5), "Box.load(name)"),  # type: ignore[arg-type]
        (lambda _: Box("config.yaml"), "Box(config)"),  # type: ignore[arg-type]
    ],
)
def test_a_value_of_another_type_is_one_line_and_asks_aws_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[Any], object], where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("name: one\nregion: us-east-1\n")
    monkeypatch.setattr("gpu_box.aws.client.Cloud.client", lambda *_, **__: pytest.fail("asked AWS"))
    with pytest.raises(InputError) as wrong:
        call(Box.load())
    assert where in str(wrong.value) and "\n" not in str(wrong.value)


def test_the_package_gives_two_names_and_imports_them_only_when_used() -> None:
    assert gpu_box.Box is Own
    with pytest.raises(AttributeError):
        _ = gpu_box.Bocks  # type: ignore[attr-defined]
    code = "import gpu_box, sys, json; print(json.dumps(sorted(m for m in sys.modules if 'gpu_box' in m)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["gpu_box"]


def test_the_page_names_every_method() -> None:
    methods = {name for name in vars(Box) if not name.startswith("_")} - {"config", "load"}
    assert methods == set(re.findall(r"^\| `(\w+)\(", PAGE, re.MULTILINE))
