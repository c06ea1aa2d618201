"""What README and tutorial tell somebody to type, typed: line by line, on the embedded cloud."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("gpu-box")
PAGES = (ROOT / "README.md", ROOT / "docs" / "tutorial.md")

# A command that begins so is not run here, for a reason.
NOT_RUN = {
    "make ": "the targets around this very test",
    "pip install ": "tests/test_wheel.py installs the wheel",
    "aws configure": "asks for the keys of a real account",
    # VGG16 is trained by tests/test_story.py with these very words; twice would cost a minute of CPU.
    "gpu-box train --preset demo": "tests/test_story.py trains",
}


@dataclass(frozen=True)
class Line:
    page: Path
    number: int  # from 1
    command: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.number} $ {self.command}"

    @property
    def why_not(self) -> str | None:
        return next((why for start, why in NOT_RUN.items() if f"{self.command} ".startswith(start)), None)


def lines(page: Path) -> Iterator[Line]:
    """The commands of a page's console blocks, each without the remark behind it."""
    inside = False
    for number, text in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if text.startswith("```"):
            inside = text == "```console"
        elif inside and text.startswith("$ "):
            yield Line(page, number, re.sub(r"\s+#\s.*$", "", text[2:]).strip())


@dataclass(frozen=True)
class Shell:
    """Somebody's terminal, in which gpu-box means the embedded cloud."""

    folder: Path
    environment: dict[str, str]

    def type(self, command: str, folder: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
        """Also the folder in which the next command is typed."""
        here = self.folder / "here"
        done = subprocess.run(
            ["bash", "-c", f'{command}\nstatus=$?; pwd >"$0"; exit $status', str(here)],
            cwd=folder,
            env=self.environment,
            input="\n" * 8,  # whoever is asked takes what is offered
            capture_output=True,
            text=True,
            timeout=240,
        )
        return done, Path(here.read_text().strip())


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("reader")
    (folder / "bin").mkdir()
    (folder / "home").mkdir()
    script = folder / "bin" / "gpu-box"
    script.write_text(f'#!/bin/sh\nexec "{COMMAND}" --local "$@"\n')
    script.chmod(0o755)
    environment = {
        **os.environ,
        "HOME": str(folder / "home"),
        "GPU_BOX_HOME": str(folder / "cloud"),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    }
    yield Shell(folder, environment)
    subprocess.run([COMMAND, "local", "stop"], env=environment, check=True, capture_output=True)
    shutil.rmtree(folder / "cloud", ignore_errors=True)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_the_page_works(shell: Shell, page: Path, tmp_path: Path) -> None:
    folder = tmp_path
    typed = list(lines(page))
    assert len(typed) >= 8
    for line in typed:
        if line.why_not:
            print(f"{line}   not run: {line.why_not}")
            if line.command.startswith("gpu-box train"):
                (folder / "results").mkdir(exist_ok=True)
            continue
        done, folder = shell.type(line.command, folder)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        known = sorted(path.name for path in (shell.folder / "home" / ".ssh" / "gpu-box.d").glob("*.conf"))
        if line.command.startswith("gpu-box up"):
            assert known == ["gpu-box.conf"]
        elif line.command.startswith("gpu-box down"):
            assert known == [] and not (shell.folder / "home" / ".ssh" / "config").exists()


def test_nothing_is_left_out_that_no_page_says() -> None:
    commands = [f"{line.command} " for page in PAGES for line in lines(page)]
    assert [start for start in NOT_RUN if not any(one.startswith(start) for one in commands)] == []
