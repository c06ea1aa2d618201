"""Many files and a long log: the time, and the memory that both ends take at most."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from testbed import programs
from testbed.openssh import OpenSshMachine

from gpu_box.machine import jobs
from gpu_box.machine.files import rsync
from gpu_box.machine.ssh import ssh_config
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.machine import Host

from . import measure
from .measure import Times, clocked, in_turns, rounds
from .row import Row, Skipped, Wait
from .sync_files import laptop

FILES, LOG_BYTES = 200_000, 1_000_000_000
MOST_MB = 256
_SAMPLED_S = 0.02
# What `gpu-box sync` and `gpu-box logs` do on the machine, in a process like theirs.
_OURS = """
import gc
import sys
from pathlib import Path
gc.set_threshold(50_000)  # as the command does
from gpu_box.machine.files import sync
from gpu_box.machine.files.selection import Selection
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.machine import Host
from gpu_box.view.progress import Silent

port, user, key, line, what, *rest = sys.argv[1:]
host = Host(name="box", address="127.0.0.1", port=int(port), user=user, key=Path(key), host_keys=(line,))
if what == "sync":
    here, there = rest
    sync.push_to(host, Selection(Path(here)), there, report=Silent())
else:
    from gpu_box.machine import jobs
    with connect(host) as connection:
        jobs.read_log(connection, rest[0], sys.stdout.write)
"""


@dataclass
class Most:
    """The largest sum of resident memory at a moment, in MB."""

    here: float = 0.0
    there: float = 0.0

    def __str__(self) -> str:
        return f"{self.here:.0f} MB here, {self.there:.0f} MB on the box"

    @property
    def fits(self) -> bool:
        return max(self.here, self.there) <= MOST_MB


def rows() -> Iterator[Row]:
    if not (programs.find("sshd") and rsync.usable()):
        raise Skipped("it needs sshd and rsync")
    with laptop() as (folder, machine):
        host = Host(
            name="box", address="127.0.0.1", port=machine.port, user=machine.user,
            key=machine.user_key, host_keys=(machine.public_line,),
        )  # fmt: skip
        yield _many_files(machine, host, folder / "many")
        yield _long_log(machine, host)


def _many_files(machine: OpenSshMachine, host: Host, source: Path) -> Row:
    count = FILES // 50 if measure.quick else FILES
    for number in range(count):
        path = source / f"d{number // 1000}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
    there = {way: machine.home / way for way in ("ours", "bare")}
    for copy in there.values():
        subprocess.run(["cp", "-a", source, copy], check=True)
    shell = f"ssh -F {ssh_config.private_config(host)}"
    words = {
        "ours": _ours(host, "sync", str(source), str(there["ours"])),
        "bare": ["rsync", "-az", "-e", shell, f"{source}/", f"box:{there['bare']}/"],
    }
    most = {way: Most() for way in words}
    for way in words:
        subprocess.run(words[way], check=True)  # the first one compares all files
        for _ in range(2):  # the second one, too; the third one knows them
            _run(machine, words[way], most[way])
    runs = {way: partial(subprocess.run, command, check=True) for way, command in words.items()}
    times = in_turns({way: partial(clocked, run) for way, run in runs.items()}, rounds(5))
    ratio = times["ours"].against(times["bare"])
    shutil.rmtree(source)
    return Row(
        wait=Wait.MANY_FILES, what=f"{count:,} files, nothing changed",
        ours=f"{times['ours']}, {most['ours']}",
        beside=f"`rsync -az` {times['bare']}, {most['bare']}", ratio=ratio,
        aim=f"0.6, {MOST_MB} MB at each end", met=ratio <= 0.6 and most["ours"].fits, runs=times["ours"].runs,
    )  # fmt: skip


def _long_log(machine: OpenSshMachine, host: Host) -> Row:
    size = LOG_BYTES // 10 if measure.quick else LOG_BYTES
    line = "y" * 99
    with connect(host) as connection:
        jobs.start(connection, "long", f"yes {line} | head -c {size}", cwd="~")
        while jobs.list_jobs(connection)[0].exit_status is None:
            time.sleep(0.5)
    most = Most()
    times = Times(tuple(_run(machine, _ours(host, "log", "long"), most) for _ in range(rounds(5))))
    return Row(
        wait=Wait.LOGS, what=f"the log of a job that printed {size / 1e6:,.0f} MB", ours=f"{times}, {most}",
        aim=f"{MOST_MB} MB at each end", met=most.fits, runs=times.runs,
    )  # fmt: skip


def _ours(host: Host, *what: str) -> list[str]:
    there = [str(host.port), host.user, str(host.key), host.host_keys[0]]
    return [sys.executable, "-c", _OURS, *there, *what]


def _run(machine: OpenSshMachine, words: Sequence[str], most: Most) -> float:
    """The seconds of the command; notes the memory that it and its other end took."""

    def run() -> None:
        with (
            subprocess.Popen(words, stdout=subprocess.DEVNULL) as process,
            _sampled(lambda: _note(machine, process.pid, most)),
        ):
            assert process.wait() == 0, words

    return clocked(run)


@contextmanager
def _sampled(sample: Callable[[], None]) -> Iterator[None]:
    over = threading.Event()

    def keep_on() -> None:
        while not over.wait(_SAMPLED_S):
            sample()

    thread = threading.Thread(target=keep_on, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join()


def _note(machine: OpenSshMachine, pid: int, most: Most) -> None:
    marker = f"GPU_BOX_TEST_MACHINE={machine.folder}".encode()
    here = there = 0
    parents = {pid}
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            kib = int(fields[21]) * 4
            if int(folder.name) == pid or int(fields[1]) in parents:
                parents.add(int(folder.name))
                here += kib
            elif marker in (folder / "environ").read_bytes():
                there += kib
        except (OSError, IndexError):  # it has ended
            continue
    most.here, most.there = max(most.here, here / 1000), max(most.there, there / 1000)
