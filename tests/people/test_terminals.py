"""Terminals and locales that the box does not know: tmux, top and a list of files work all the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pexpect
import pytest

from tests import needs
from tests.paths import REMOTE

SH = f". {REMOTE}/setup/shell.sh"
FISH = f"source {REMOTE}/setup/shell.fish"
SHELLS = [
    ("bash", SH),
    pytest.param("zsh", SH, marks=needs.programs("zsh")),
    pytest.param("fish", FISH, marks=needs.programs("fish")),
]


def environment(home: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(home), "PATH": "/usr/bin:/bin", "TMUX_TMPDIR": str(home), **more}


def in_a_terminal(shell: str, line: str, home: Path, term: str) -> str:
    program = shutil.which(shell)
    assert program
    child = pexpect.spawn(
        program, ["-c", line], env=environment(home, TERM=term), encoding="utf-8", timeout=60
    )
    child.expect(pexpect.EOF)
    child.close()
    return (child.before or "").replace("\r\n", "\n")


# kitty#320, kitty#1241, omarchy PR 1950: "missing or unsuitable terminal: xterm-kitty"
@needs.programs("infocmp")
@pytest.mark.parametrize("term", ["xterm-kitty-of-a-test", "xterm-ghostty-of-a-test", ""])
@pytest.mark.parametrize(("shell", "source"), SHELLS)
def test_a_terminal_that_the_box_does_not_know_becomes_one_that_it_knows(
    tmp_path: Path, shell: str, source: str, term: str
) -> None:
    assert in_a_terminal(shell, f"{source}; echo $TERM", tmp_path, term) == "xterm-256color\n"


@needs.programs("infocmp")
@pytest.mark.parametrize(("shell", "source"), SHELLS)
def test_a_known_terminal_stays_itself(tmp_path: Path, shell: str, source: str) -> None:
    assert in_a_terminal(shell, f"{source}; echo $TERM", tmp_path, "xterm") == "xterm\n"


@needs.programs("infocmp", "tmux")
def test_tmux_starts_in_it(tmp_path: Path) -> None:
    said = in_a_terminal(
        "bash", f"{SH}; exec tmux new-session -s main 'echo it runs'", tmp_path, "xterm-kitty-of-a-test"
    )
    assert "unsuitable" not in said and "[exited]" in said


# warp#406, percol PR 94: macOS's LC_CTYPE=UTF-8, over SSH
@pytest.mark.parametrize(("shell", "source"), SHELLS)
@pytest.mark.parametrize(("sent", "used"), [("UTF-8", "C.UTF-8"), ("de_DE.UTF-8", "de_DE.UTF-8")])
def test_the_locale_of_macos_becomes_one_of_linux(
    tmp_path: Path, shell: str, source: str, sent: str, used: str
) -> None:
    done = subprocess.run(
        [shell, "-c", f"{source}; printenv LC_CTYPE"],
        env=environment(tmp_path, LC_CTYPE=sent),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{used}\n"


# Found beside vscode-jupyter#912: a JUPYTER_PATH of the user's own, in `env`
def test_kernels_of_the_users_own_do_not_hide_those_of_the_box(tmp_path: Path) -> None:
    root = tmp_path / ".gpu-box"
    for folder in (root / "jupyter", root / "jupyter-venv" / "bin", tmp_path / "work"):
        folder.mkdir(parents=True)
    (root / "env.sh").write_text("# digest\nexport JUPYTER_PATH='/mine'\nexport root='/elsewhere'\n")
    server = root / "jupyter-venv" / "bin" / "jupyter-lab"
    server.write_text('#!/bin/sh\necho "$JUPYTER_PATH"\n')
    server.chmod(0o755)
    subprocess.run(["sh", REMOTE / "jupyter" / "start.sh"], env=environment(tmp_path), check=True)
    assert (root / "jupyter" / "log").read_text() == f"{root}/jupyter/share:/mine\n"
