"""The time until a command prints, compared with its imports and with other tools."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from . import peers
from .measure import command, in_turns, rounds
from .row import Row, Skipped, Wait

BIN = Path(sys.executable).parent
FLOOR = "`import typer, rich`"
PEERS = {  # what one types: the package, and its words
    "`aws --version`": ("awscli", ["aws", "--version"]),
    "`sky --help`": ("skypilot", ["sky", "--help"]),
    "`dstack --help`": ("dstack", ["dstack", "--help"]),
}
OURS = {"`gpu-box --help`": list(PEERS), "`gpu-box --version`": ["`aws --version`"]}
LIBRARIES = ("boto3", "botocore", "paramiko", "fabric", "cryptography")
# As pip leaves an installed package: compiled.
COMPILED = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "TERM": "dumb"}


def rows() -> Iterator[Row]:
    ours = {
        "`gpu-box --help`": partial(_run, BIN / "gpu-box", "--help"),
        "`gpu-box --version`": partial(_run, BIN / "gpu-box", "--version"),
    }
    floor = {FLOOR: partial(_run, BIN / "python", "-c", "import typer, rich")}
    theirs: dict[str, Callable[[], float]] = {}
    missing = {}
    for name, (package, words) in PEERS.items():
        try:
            theirs[name] = partial(_run, peers.program(package, words[0]), *words[1:])
        except Skipped as reason:
            missing[name] = reason
    for each in (*floor.values(), *ours.values(), *theirs.values()):
        each()  # once for the bytecode
    near = in_turns(floor | ours, rounds(40))  # alike, so many turns tell
    far = in_turns(ours | theirs, rounds(8))
    for name, others in OURS.items():
        ratio = near[name].against(near[FLOOR])
        yield Row(
            wait=Wait.COMMAND, what=name, ours=str(near[name]), beside=f"{FLOOR} {near[FLOOR]}", ratio=ratio,
            aim="1.3", met=ratio <= 1.3, runs=near[name].runs,
        )  # fmt: skip
        for other in others:
            if other in missing:
                yield Row(wait=Wait.COMMAND, what=name, ours="", beside=f"{other}: {missing[other]}")
                continue
            yield Row(
                wait=Wait.COMMAND, what=name, ours=str(far[name]), beside=f"{other} {far[other]}",
                ratio=far[name].against(far[other]), runs=far[name].runs,
            )  # fmt: skip
    loaded = _loaded()
    yield Row(
        wait=Wait.COMMAND, what="AWS or SSH libraries that `--help` imports", ours=loaded, aim="none",
        met=loaded == "none",
    )  # fmt: skip


def _run(*words: str | Path) -> float:
    return command([str(word) for word in words], env=COMPILED)


def _loaded() -> str:
    code = "import sys; from gpu_box.cli.main import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([BIN / "python", "-c", code], capture_output=True, text=True, check=True)
    found = {name.partition(".")[0] for name in done.stdout.split()}
    return ", ".join(name for name in LIBRARIES if name in found) or "none"
