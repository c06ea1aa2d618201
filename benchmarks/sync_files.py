"""Sync by rsync and by SFTP, compared with `rsync -az`, to the system's sshd at two latencies.

Our time is from the connection to the end of `gpu-box sync`; Python's imports are in the row of `status`. The
relay counts bytes. Round trips are the extra time at 200 ms latency divided by 200 ms, on an open connection.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

from testbed import programs
from testbed.openssh import OpenSshMachine

from gpu_box.machine.files import rsync, sync, upload_remote
from gpu_box.machine.files.selection import Selection
from gpu_box.machine.ssh import ssh_config
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.machine import Host
from gpu_box.resources import remote
from gpu_box.view.progress import Silent

from . import measure
from .latency import Link, link
from .measure import Times, clocked, rounds
from .row import Row, Skipped, Wait

FAR_MS, FARTHEST_MS = 50.0, 200.0
SMALL, SMALL_BYTES = 2000, 10_000
LARGE_BYTES = 500_000_000
OURS = "as it chooses"  # rsync, but for little
WAYS = (OURS, "sftp", "bare")
SCENES = ("first", "nothing changed", "changed")


@dataclass
class Scene:
    machine: OpenSshMachine
    source: Path
    link: Link

    @property
    def host(self) -> Host:
        return Host(
            name="box", address="127.0.0.1", port=self.link.port, user=self.machine.user,
            key=self.machine.user_key, host_keys=(self.machine.public_line,),
        )  # fmt: skip

    def folder(self, way: str) -> Path:
        return self.machine.home / way.replace(" ", "-") / self.source.name

    def run(self, way: str) -> None:
        if way == "bare":
            shell = f"ssh -F {ssh_config.private_config(self.host)}"
            words = ["rsync", "-az", "-e", shell, f"{self.source}/", f"box:{self.folder(way)}/"]
            subprocess.run(words, check=True)
            return
        there, transport = str(self.folder(way)), None if way == OURS else way
        chosen = Selection(self.source)
        with (
            sync.early_rsync(self.host, chosen, there, transport) as early,
            connect(self.host) as connection,
        ):
            sync.push(connection, chosen, there, report=Silent(), transport=transport, early=early)


def rows() -> Iterator[Row]:
    if not (programs.find("sshd") and rsync.usable()):
        raise Skipped("it needs sshd and rsync")
    with laptop() as (folder, machine):
        many, large = _sources(folder)
        for ms in (0.0, FAR_MS):
            with link(machine.port, ms) as way:
                yield from _compared(
                    Scene(machine, many, way), ms, f"{SMALL} files, 20 MB", "one file changed"
                )
                yield from _compared(Scene(machine, large, way), ms, "one of 500 MB", "one byte changed")
        yield from _round_trips(machine, many)


def _compared(scene: Scene, ms: float, what: str, change: str) -> Iterator[Row]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in SCENES}
    sent: dict[str, list[int]] = {}
    turns = rounds(9 if scene.source.name == "many" else 5)
    for turn in range(turns):
        for way in WAYS:
            shutil.rmtree(scene.folder(way), ignore_errors=True)
            scene.folder(way).mkdir(parents=True)
        shutil.rmtree(scene.machine.home / ".gpu-box" / "sync", ignore_errors=True)
        for name in SCENES:
            if name == "changed":
                _change(scene.source, turn)
            took = {}
            for way in WAYS[turn % 3 :] + WAYS[: turn % 3]:
                before = scene.link.sent()
                took[way] = clocked(partial(scene.run, way))
                sent.setdefault(f"{name} {way}", []).append(scene.link.sent() - before)
            found[name].append(took)
    for name, taken in found.items():
        times = {way: Times(tuple(took[way] for took in taken)) for way in WAYS}
        for way in (OURS, "sftp"):
            ratio = times[way].against(times["bare"])
            aim = {"aim": "1.1", "met": ratio <= 1.1} if way == OURS else {}
            mb = {each: sorted(sent[f"{name} {each}"])[turns // 2] / 1e6 for each in (way, "bare")}
            yield Row(
                wait=Wait.SYNC, what=f"{what}, {change if name == 'changed' else name}, {ms:.0f} ms, {way}",
                ours=f"{times[way]}, {mb[way]:.2f} MB up",
                beside=f"`rsync -az` {times['bare']}, {mb['bare']:.2f} MB",
                ratio=ratio, runs=times[way].runs, **aim,
            )  # fmt: skip


def _round_trips(machine: OpenSshMachine, source: Path) -> Iterator[Row]:
    """The round trips of the fallback (SFTP)."""
    deep: dict[str, list[float]] = {name: [] for name in SCENES}
    for turn in range(rounds(5)):
        took = {ms: _on_open_connection(machine, source, ms, turn) for ms in (0.0, FARTHEST_MS)}
        for name in SCENES:
            deep[name].append((took[FARTHEST_MS][name] - took[0.0][name]) / (FARTHEST_MS / 1000))
    aims = {"first": (f"pipelined: far below {SMALL}", 100), "nothing changed": ("3", 3.5)}
    for name, counts in deep.items():
        trips = statistics.median(counts)
        aim, most = aims.get(name, ("", None))
        yield Row(
            wait=Wait.SYNC, what=f"{SMALL} files, {name}, by SFTP on an open connection",
            ours=f"{trips:.1f} round trips", aim=aim, met=None if most is None else trips <= most,
            runs=str(len(counts)),
        )  # fmt: skip


def _on_open_connection(machine: OpenSshMachine, source: Path, ms: float, turn: int) -> dict[str, float]:
    """Seconds of each scene."""
    took = {}
    with link(machine.port, ms) as way:
        scene = Scene(machine, source, way)
        there = scene.folder("sftp")
        shutil.rmtree(there, ignore_errors=True)
        with connect(scene.host) as connection:

            def push() -> None:
                sync.push(connection, Selection(source), str(there), report=Silent(), transport="sftp")

            for name in SCENES:
                if name == "changed":
                    _change(source, 100 + 2 * turn + (ms > 0))
                took[name] = clocked(push)
    return took


def _change(source: Path, turn: int) -> None:
    """Change one file of many, or one byte of the large one, and its time."""
    path = next(iter(sorted(source.rglob("*.bin"))))
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, (1_800_000_000 + turn, 1_800_000_000 + turn))


def _sources(folder: Path) -> tuple[Path, Path]:
    """Write the files: half of each is compressible text, half is noise."""
    dice = random.Random(6)
    many, large = folder / "many", folder / "large"
    for number in range(SMALL):
        path = many / f"d{number % 40}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dice.randbytes(SMALL_BYTES // 2) + b"to be, or " * (SMALL_BYTES // 20))
    large.mkdir()
    with (large / "one.bin").open("wb") as file:
        for _ in range(LARGE_BYTES // (5_000_000 * (10 if measure.quick else 1))):
            file.write(dice.randbytes(2_500_000) + b"to be, or " * 250_000)
    return many, large


@contextmanager
def laptop() -> Iterator[tuple[Path, OpenSshMachine]]:
    """A home folder, and a machine with our code."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpu-box-sync-")))
        stack.enter_context(patch.dict(os.environ, HOME=str(folder), GPU_BOX_HOME=str(folder / "data")))
        machine = OpenSshMachine(folder / "machine", path="/usr/local/bin:/usr/bin:/bin")
        machine.start()
        stack.callback(machine.stop)
        with link(machine.port, 0) as way, connect(Scene(machine, folder, way).host) as connection:
            upload_remote.upload(connection, remote())
        yield folder, machine
