"""Tab completion in a real bash, zsh and fish: commands, instance types, and boxes, other users' too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pexpect
import pytest

from gpu_box.aws.client import Cloud
from gpu_box.box import names
from gpu_box.cli import known_names
from gpu_box.cli.completion import box_names
from gpu_box.config.model import Config

from .. import needs
from ..aws.conftest import Laptop, aws, laptop

__all__ = ["aws", "laptop"]

BIN = Path(sys.executable).parent
SHELLS = {
    "bash": (["--norc", "--noprofile", "-i"], 'eval "$(_GPU_BOX_COMPLETE=source_bash gpu-box)"'),
    "zsh": (
        ["-f", "-i"],
        'autoload -U compinit; compinit -u; eval "$(_GPU_BOX_COMPLETE=source_zsh gpu-box)"',
    ),
    "fish": (["--no-config", "-i"], "_GPU_BOX_COMPLETE=source_fish gpu-box | source"),
}


@pytest.fixture
def boxes() -> None:
    """Two boxes in this laptop's records."""
    folder = Path.home() / ".ssh" / "gpu-box.d"
    folder.mkdir(parents=True)
    for name in ("alpha", "beta"):
        (folder / f"{name}.conf").write_text("")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, boxes: None, tmp_path: Path) -> Iterator[Any]:
    """Interactive, its completion set up as `gpu-box --install-completion` does it."""
    name: str = request.param
    needs.require_programs(name)
    words, setup = SHELLS[name]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb"}
    ours = pexpect.spawn(
        name, words, env=environment, cwd=str(tmp_path), timeout=60, dimensions=(24, 80), encoding="utf-8"
    )
    ours.sendline(f"{setup}; echo rea''dy")
    ours.expect("ready")
    yield ours
    ours.close(force=True)


def test_tab_finishes_the_word(shell: Any) -> None:
    for typed, rest in (
        ("gpu-box resize g4dn.2", "xlarge"),
        ("gpu-box --name alp", "ha"),
        ("gpu-box exte", "nd"),
    ):
        shell.send(f"{typed}\t")
        shell.expect_exact(rest)
        shell.send("\x15")  # the line is cleared


def offered(words: str) -> list[str]:
    """The lines that gpu-box sends to fish, whose protocol is the simplest."""
    asked = {"_GPU_BOX_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": words,
             "_TYPER_COMPLETE_FISH_ACTION": "get-args"}  # fmt: skip
    done = subprocess.run([BIN / "gpu-box"], env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.stderr == ""
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


def test_boxes_that_others_made_are_offered_too(
    boxes: None, laptop: Callable[..., Laptop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_PATIENCE_S", 60.0)  # a slow machine must not fail this
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path))
    (tmp_path / "config.yaml").write_text("region: us-east-1\n")
    mine = laptop(region="us-east-1")
    mine.up()
    typed: Any = SimpleNamespace(params={"config": tmp_path / "config.yaml", "local": False})
    assert {"alpha", "beta", mine.config.name} <= set(box_names(typed, ""))
    assert box_names(typed, "alp") == ["alpha"]


@pytest.mark.parametrize("config", ["region: us-east-1", "nonsense: ["])
def test_without_credentials_or_with_a_broken_config_the_laptop_s_own_are_offered(
    boxes: None, tmp_path: Path, config: str
) -> None:
    (tmp_path / "config.yaml").write_text(config)
    assert offered(f"gpu-box --config {tmp_path}/config.yaml --name a") == ["alpha"]


def test_the_next_tab_makes_no_call_and_a_slow_aws_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(cloud: Cloud) -> list[str]:
        asked.append(cloud.region)
        if len(asked) > 1:
            time.sleep(30)
        return ["ada"]

    monkeypatch.setattr(names, "_ask", ask)
    cloud, cache = Cloud(Config(region="us-east-1")), tmp_path / "new" / "boxes.json"
    assert names.in_aws(cloud, cache) == names.in_aws(cloud, cache) == ["ada"]
    assert asked == ["us-east-1"]
    monkeypatch.setattr(names, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(names, "_FRESH_S", 0.0)
    assert names.in_aws(cloud, cache) == ["ada"]
    assert len(asked) == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_second_tab_offers_the_same_at_once(
    boxes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    """Without typer and without AWS; not after the config or the profile has changed."""
    config = tmp_path / "config.yaml"
    config.write_text("region: us-east-1\n")
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(names, "_ask", lambda cloud: ["almond", "ada"])
    monkeypatch.setattr(known_names, "_FRESH_S", 600.0)  # a slow machine must not fail this
    line = "gpu-box --name al"
    monkeypatch.setenv("_GPU_BOX_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert known_names.answer() is None
    whole = box_names(SimpleNamespace(params={"config": None, "local": False}), "al")  # type: ignore[arg-type]
    assert whole == ["almond", "alpha"]
    quick = known_names.answer()
    assert quick is not None
    assert re.findall(r"\w+", quick.removeprefix("_arguments")) == whole
    # As the shell calls it: what the whole completion prints, from another process.
    command = [
        sys.executable,
        "-c",
        "import sys; from gpu_box.cli import known_names; known_names._FRESH_S = 600; "
        "from gpu_box.cli.main import main; main(); print('typer' in sys.modules)",
    ]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == f"{quick}\nFalse\n"
    for words in ("gpu-box run --name al", "gpu-box --local --name al", "gpu-box --name zz", "gpu-box stat"):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", words)
        assert known_names.answer() is None
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    with monkeypatch.context() as other:
        other.setenv("AWS_PROFILE", "another")
        assert known_names.answer() is None
    config.write_text("region: eu-west-1\n")
    assert known_names.answer() is None
