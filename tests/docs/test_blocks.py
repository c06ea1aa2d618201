"""Runs the commands that the pages tell a reader to type: on the embedded cloud, and on its box in ssh and
tmux.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpu_box.config import read

from .blocks import COMMANDS, OTHERS, ROOT, Block, Command, generated, written

COMMAND = Path(sys.executable).with_name("gpu-box")
PAGES = written()
RUN = [
    page
    for page, found in PAGES.items()
    if any(c.why_not is None for b in found if b.language in COMMANDS for c in b.commands)
]
TESTS = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?")
# Instead of downloads: photographs from scikit-image, and random weights.
PICTURES = "python -m vgg16 data faces --to ~/work/data/dogscats"
SMALL = "VGG16_WEIGHTS=none VGG16_SIZE=32"
SHORTER = {"python -m vgg16 train ": " --preset demo --image-size 32 --epochs 1"}
PROMPT = re.compile(rb"[#$] ")


@dataclass(frozen=True)
class Shell:
    """A reader's terminal, in which gpu-box uses the embedded cloud."""

    folder: Path
    environment: dict[str, str]

    def type(
        self, command: str, folder: Path, typed: str = "\n" * 8
    ) -> tuple[subprocess.CompletedProcess[str], Path]:
        """Also the folder of the next command. typed: answers to questions; by default the offered ones."""
        here = self.folder / "here"
        done = subprocess.run(
            ["bash", "-c", f'{command}\nstatus=$?; pwd >"$0"; exit $status', str(here)],
            cwd=folder,
            env=self.environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=480,
        )
        return done, Path(here.read_text().strip())

    def ssh_entries(self) -> set[str]:
        """The boxes that `ssh NAME` reaches."""
        return {path.stem for path in (self.folder / "home" / ".ssh" / "gpu-box.d").glob("*.conf")}

    def type_on_the_box(self, way: str, commands: list[str], folder: Path) -> tuple[list[str], str]:
        """In `gpu-box ssh` or `gpu-box tmux`: the exit status of each command, and the terminal's output."""
        master, slave = pty.openpty()
        process = subprocess.Popen(
            ["gpu-box", way], cwd=folder, env={**self.environment, "TERM": "xterm"},
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        typed = [*(f"{command}; echo $? >>~/statuses" for command in commands), "exit"]
        seen, answered, give_up = b"", 0, time.monotonic() + 480
        while time.monotonic() < give_up:
            if select.select([master], [], [], 0.5)[0]:
                try:
                    data = os.read(master, 65536)
                except OSError:  # EIO: the other end is closed
                    break
                seen += data
            elif typed and PROMPT.search(seen, answered):
                answered = len(seen)
                os.write(master, typed.pop(0).encode() + b"\n")
        process.kill()
        process.wait()
        os.close(master)
        printed, _ = self.type("gpu-box ssh -- 'cat statuses; rm statuses'", folder)
        return printed.stdout.split(), seen.decode(errors="replace")


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


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", RUN)
def test_every_command_of_the_page_works(shell: Shell, page: str, tmp_path: Path) -> None:
    folder = tmp_path
    for block in PAGES[page]:
        if block.language not in COMMANDS:
            continue
        for command in block.commands:
            if command.why_not:
                print(f"{page}:{command.line} $ {command.text}   not run: {command.why_not}")
                if command.text.startswith("gpu-box train"):
                    (folder / "results").mkdir(exist_ok=True)
            elif not command.on_box:
                folder = _type(shell, page, command, folder)
        if any(command.on_box and not command.why_not for command in block.commands):
            _type_on_the_box(shell, block, folder)


def _type(shell: Shell, page: str, command: Command, folder: Path) -> Path:
    before = shell.ssh_entries()
    done, folder = shell.type(command.text, folder)
    assert done.returncode == 0, f"{page}:{command.line} $ {command.text}\n{done.stdout}\n{done.stderr}"
    known = shell.ssh_entries()
    if command.text.startswith("gpu-box up"):
        assert known and known >= before
    elif command.text.startswith("gpu-box down"):
        assert known < before
        assert known or not (shell.folder / "home" / ".ssh" / "config").exists()
    return folder


def _type_on_the_box(shell: Shell, block: Block, folder: Path) -> None:
    if "dogscats" in block.body:
        prepared, _ = shell.type(f"gpu-box ssh -- '{PICTURES}'", folder)
        assert prepared.returncode == 0, prepared.stderr
    if block.language == "python":
        line = f"gpu-box ssh -- 'cd work && {SMALL} python -'"
        done, _ = shell.type(line, folder, typed=block.body)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return
    commands = [command.text for command in block.commands if command.on_box and not command.why_not]
    shorter = [_shorter(text) for text in commands]
    ways = ["tmux"] if shutil.which("tmux") else ["ssh"]
    for way in {*ways, "ssh"} if shorter == commands else ways:
        statuses, seen = shell.type_on_the_box(way, shorter, folder)
        assert statuses == ["0"] * len(commands), f"{block}, in gpu-box {way}\n{seen}"


def _shorter(command: str) -> str:
    return next((command + more for start, more in SHORTER.items() if command.startswith(start)), command)


def test_every_block_says_what_it_is_and_every_command_has_a_test_or_a_reason() -> None:
    for found in (PAGES | generated()).values():
        for block in found:
            assert block.language in (*COMMANDS, *OTHERS), f"{block}: ```{block.language}"
            if block.language in COMMANDS:
                assert block.commands, f"{block}: a console without a prompt"
            assert block.page in PAGES or block.language in OTHERS, f"{block}: nothing runs it"


def test_a_reason_names_commands_that_are_there_and_tests_that_run_them() -> None:
    for block in (block for found in PAGES.values() for block in found):
        for start, why in block.why_not.items():
            commands = [command for command in block.commands if command.text.startswith(start)]
            assert commands, f"{block}: no command begins with {start!r}"
            for file, function in TESTS.findall(why):
                source = (ROOT / file).read_text(encoding="utf-8")
                if function:
                    assert f"def {function}(" in source, f"{block}: {file} has no {function}"
                    source = source.partition(f"def {function}(")[2].partition("\ndef ")[0]
                for command in commands:
                    words = [word for word in command.text.split() if word != "gpu-box"]
                    missing = [word for word in words if word not in source]
                    assert not missing or Path(block.page).name in source, f"{block}: {file} lacks {missing}"


def test_every_piece_of_config_is_one_that_gpu_box_reads() -> None:
    for block in (block for found in PAGES.values() for block in found if block.language == "yaml"):
        read.parse(block.body.encode(), Path(str(block)))
