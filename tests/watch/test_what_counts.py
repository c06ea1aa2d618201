"""Checks the table of docs/stopping.md: starts each row's program, samples and judges."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cgroup import group
from moved import moved, own_address
from notebook_server import NOTEBOOK, execute, until_seen
from only import only
from testbed.cloud import wait_until
from tests import needs
from tests.paths import ROOT
from traces.decide import decide
from watcher_box import REMOTE

from watch.policy import Policy
from watch.read import keeping, services
from watch.read.editors import HISTORIES
from watch.read.machine import Machine, boot_id
from watch.read.people import Kind, classifier
from watch.read.processes import Processes
from watch.sample import Sample

PYTHON = sys.executable
LOOP = "while True: pass"
PACED = """
import sys, time
before = time.monotonic()
while True:
    time.sleep(0.05)
    now = time.monotonic()
    open(sys.argv[2], "wb").write(b"x" * int(float(sys.argv[1]) * (now - before)))
    before = now
"""
SMI = """#!/bin/sh
case $1 in
pmon) echo "$PMON" ;;
--query-gpu*) echo "0, $PERCENT, GPU-0" ;;
*) echo "$APPS" ;;
esac
"""
YES, NO, HELD = "yes", "no", "for two hours"
STATES = {"active": YES, "idle": NO, "held": HELD}
# Exclude the other tests' sockets; this machine may have been up longer than max_hours.
RULES = Policy(network_bps=1e15, max_hours=None)


def _table() -> dict[str, tuple[str, str]]:
    """What runs -> (counts?, from)."""
    text = (ROOT / "docs/stopping.md").read_text()
    part = text.partition("## What counts as use")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|"
    ]
    return {what: (counts, since) for what, counts, since in rows[2:]}


TABLE = _table()


class Here:
    """A home directory and a machine made of this test's processes."""

    def __init__(self, home: Path, start, patch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
        self.home, self._start, self.patch, self.request = home, start, patch, request
        self.rules = RULES

    def start(self, *words: str, **options) -> subprocess.Popen:
        return self._start(*words, **options)

    def script(self, name: str, text: str) -> str:
        path = self.home / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def paced(self, name: str, rate: float) -> subprocess.Popen:
        process = self.start(self.script(name, f"#!{PYTHON} -S\n{PACED}"), str(rate), os.devnull)
        io = Path(f"/proc/{process.pid}/io")
        wait_until(lambda: int(io.read_text().partition("wchar: ")[2].split()[0]) > 0)
        return process

    def seen(self, change: Callable[[], object] | None = None) -> str:
        """change: called between the two samples."""
        keeps = [(None, str(self.home / "keep"))]
        machine = Machine(self.rules, lambda: keeps)
        time.sleep(0.3)  # a program starts
        machine.sample()
        if change:
            change()
        time.sleep(1.5)
        return self.judged(machine.sample(now=True))

    def judged(self, sample: Sample) -> str:
        return STATES[decide([sample], self.rules).state]

    def job(self, process: subprocess.Popen, *, log_age: float) -> Path:
        folder = self.home / ".gpu-box/jobs/train"
        folder.mkdir(parents=True)
        (folder / "pid").write_text(f"{process.pid}\n")
        (folder / "log").write_text("epoch 1\n")
        then = time.time() - log_age
        os.utime(folder / "log", (then, then))
        return folder

    def gpu(self, percent: str, pmon: str, apps: str = "") -> str:
        self.script("nvidia-smi", SMI)
        self.patch.setenv("PATH", f"{self.home}/bin:{os.environ['PATH']}")
        for name, value in (("PERCENT", percent), ("PMON", pmon), ("APPS", apps)):
            self.patch.setenv(name, value)
        return self.seen()

    def by_root(self, *words: str, path: str = "") -> str:
        """Classify this process and its children as a root watcher does. path: their control group."""
        if os.geteuid() != 0:
            pytest.skip("needs root")
        self.patch.delenv("GPU_BOX_MACHINE", raising=False)
        with group(path) if path else contextlib.nullcontext() as where:
            process = self.start(*words)
            if where is not None:
                (where / "cgroup.procs").write_text(str(process.pid))
            mine, real = only(process.pid), classifier(own=1)

            def classify(pid: int, uid: int, name: str) -> Kind:
                return Kind.SYSTEM if mine(pid, uid, name) is Kind.SYSTEM else real(pid, uid, name)

            time.sleep(0.3)
            processes = Processes(classify)
            processes.look()
            time.sleep(1.5)
            usage = processes.look()
            process.kill()
            process.wait(60)
        sample = Sample(boot="b", mono=100.0, wall=1e9, up=1e3, over=usage.over, cpu=usage.cpu)
        return "by its work" if self.judged(sample) == YES else NO


@pytest.fixture
def here(tmp_path, start, monkeypatch, request):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GPU_BOX_MACHINE", f"what-counts-{os.getpid()}-{tmp_path.name}")
    return Here(home, start, monkeypatch, request)


def program(here: Here) -> str:
    here.start(PYTHON, "-c", LOOP)
    return here.seen()


def holding(here: Here) -> str:
    return here.gpu("0", "0 4711 C 0 0 - - python")


def disk(here: Here) -> str:
    code = "import time\nf = open('data', 'wb', 0)\nwhile True: f.write(b'x' * 10**6); time.sleep(.1)"
    here.start(PYTHON, "-c", code, cwd=here.home)
    return here.seen()


def sockets(here: Here) -> str:
    address = own_address()
    if address is None:
        pytest.skip("needs an interface besides loopback")
    here.rules = RULES._replace(network_bps=Policy().network_bps)
    with contextlib.ExitStack() as stack:
        return here.seen(lambda: stack.enter_context(moved(address, 20_000_000)))


def transfer(here: Here) -> str:
    row = next(what for what in TABLE if what.startswith("a transfer"))
    names = re.sub("[`,]", " ", row.partition(":")[2]).replace("docker pull", "dockerd").split()
    found = set()
    for name in [name for name in names if name != "pull"]:
        process = here.paced(name, 300_000)
        found.add(here.seen())
        process.kill()
        process.wait(60)
    return "; ".join(found)


def git_of_an_editor(here: Here) -> str:
    node = here.home / ".vscode-server/bin/abc/node"
    node.parent.mkdir(parents=True)
    node.symlink_to("/bin/bash")
    git = here.script("git", f"#!{PYTHON} -S\n{PACED}")
    here.start(str(node), "-c", f"{git} 300000 {os.devnull}; :")
    return here.seen()


def sync(here: Here) -> str:
    argv = [PYTHON, "-s", "-m", "sync", "list", str(here.home)]
    return here.seen(lambda: subprocess.run(argv, cwd=REMOTE, check=True, stdout=subprocess.DEVNULL))


def job_computes(here: Here) -> str:
    here.rules = RULES._replace(cpu_cores=1e9)
    here.job(here.start(PYTHON, "-c", LOOP), log_age=9000)
    return here.seen()


def job_writes(here: Here) -> str:
    folder = here.job(here.start("sleep", "60"), log_age=9000)
    return here.seen(lambda: (folder / "log").write_text("epoch 1\nepoch 2\n"))


def jobs_wait(here: Here) -> str:
    folder = here.home / ".gpu-box/jobs/next"
    folder.mkdir(parents=True)
    (folder / "turn").write_text("1\n")
    return here.seen()


def job_hangs(here: Here) -> str:
    here.job(here.start("sleep", "60"), log_age=9000)
    return here.seen()


def _kernel(here: Here, code: str, wanted) -> str:
    server, python = (here.request.getfixturevalue(name) for name in ("server", "program"))
    kernel = server.ask("sessions", NOTEBOOK)["kernel"]["id"]
    execute(python, server, kernel, code)
    seen = until_seen(server, lambda seen: seen.kernels[0].state == "busy" and wanted(seen.kernels[0]), 60)
    return here.judged(Sample(boot="b", mono=100.0, wall=1e9, up=1e3, over=1.0, jupyter=seen))


def cell(here: Here) -> str:
    return _kernel(here, "while True: pass", lambda kernel: kernel.cores > 0.1)


def waiting(here: Here) -> str:
    def still(kernel) -> bool:
        return kernel.cores < 0.01 and (kernel.quiet or 0) > 3

    return _kernel(here, "import time; time.sleep(600)", still)


def _document(here: Here, *, edited: bool) -> str:
    server = here.request.getfixturevalue("server")
    document = server.home / "work" / NOTEBOOK["path"]
    document.write_text('{"cells": []}')
    long_ago = time.time() - 9000
    os.utime(document, (long_ago, long_ago))
    server.ask("sessions", NOTEBOOK)
    until_seen(server, lambda seen: seen.documents and seen.kernels[0].quiet > 3)  # its start is use
    if edited:
        line = {"cell_type": "code", "source": ["a = 1"], "execution_count": None, "outputs": []}
        document.write_text(json.dumps({"cells": [line]}))
    seen = server.read()
    return here.judged(Sample(boot="b", mono=100.0, wall=1e9, up=1e3, over=1.0, jupyter=seen))


def editors(here: Here) -> str:
    found = set()
    places = [f"{folder}/User/History/-4f2a/entries.json" for folder in HISTORIES]
    for place in [*places, ".cache/JetBrains/RemoteDev-PY/LocalHistory/changes.storageData"]:
        file = here.home / place
        file.parent.mkdir(parents=True)
        file.write_text("{}")
        os.utime(file, (1e9, 1e9))
        machine = Machine(RULES._replace(slow=0.0), list)
        machine.sample()
        file.write_text("{ }")
        found.add(here.judged(machine.sample(now=True)))
        shutil.rmtree(file.parent)
    return "; ".join(found)


def _terminal(here: Here, *, typed: bool) -> str:
    tell = here.home / "terminal"
    code = f"import os, pty; pty.spawn(['sh', '-c', 'tty >{tell}; exec cat'])"
    shell = here.start(PYTHON, "-c", code, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tell.exists() and tell.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    long_ago = time.time() - 9000
    os.utime(tell.read_text().strip(), (long_ago, long_ago))

    def type_a_key() -> None:
        shell.stdin.write(b"x\n")
        shell.stdin.flush()

    with shell.stdin:
        return here.seen(type_a_key if typed else None)


def left_open(here: Here) -> str:
    here.start("bash", "-c", f"exec -a {here.home}/.vscode-server/bin/abc/node sleep 60")
    return _terminal(here, typed=False)


def monitors(here: Here) -> str:
    for name in ("htop", "nvtop", "nvitop"):
        here.start(here.script(name, f"#!{PYTHON}\n{LOOP}"))
    return here.seen()


def container(here: Here) -> str:
    long = "06dc5f321aad8726aa26559f16ec203bc099245bc44894b14a89fc02b022d1d5"
    paths = [f"docker/{long}", f"default/{long}", f"system.slice/nerdctl-{long}.scope", "lxc.payload.web/x"]
    paths.append(f"machine.slice/libpod-{long}.scope")
    return "; ".join({here.by_root(PYTHON, "-c", LOOP, path=path) for path in paths})


def service(here: Here) -> str:
    units = here.home / "units"
    units.mkdir()
    here.patch.setattr(services, "UNITS", (str(units),))
    (units / "gbx-what-counts.service").touch()
    return here.by_root(PYTHON, "-c", LOOP, path="system.slice/gbx-what-counts.service")


def databases(here: Here) -> str:
    found = set()
    for name in ("ollama", "postgres", "mysqld", "mariadbd", "mongod", "redis-server"):
        found.add(here.by_root(here.script(name, f"#!{PYTHON}\n{LOOP}")))
    return "; ".join(found)


def distribution(here: Here) -> str:
    units = here.home / "units"
    units.mkdir()
    here.patch.setattr(services, "UNITS", (str(units),))
    (units / "gbx-apt.service").symlink_to("/usr/lib/systemd/system/apt-daily-upgrade.service")
    return here.by_root(here.script("apt-get", f"#!{PYTHON}\n{LOOP}"), path="system.slice/gbx-apt.service")


def keep(here: Here) -> str:
    now = {"boot": boot_id(), "mono": time.monotonic(), "wall": time.time()}
    keeping.write(str(here.home / "keep"), 10_800.0, **now)
    return here.seen()


RULE = Policy()
MB, KB = 1e6, 1e3
# Start of the row -> (a function that starts it, the expected `from`).
ROWS: dict[str, tuple[Callable[[Here], str], str]] = {
    "a program of yours that computes": (program, f"{RULE.cpu_cores:g} of one core"),
    "a compute process that uses a GPU": (
        lambda here: here.gpu("1", "0 4711 C 1 0 - - python"),
        f"{RULE.gpu_percent:g} % of it",
    ),
    "a compute process that only holds GPU memory": (holding, ""),
    "a desktop on the GPU": (lambda here: here.gpu("30", "0 900 G 30 9 - - Xorg"), ""),
    "a compute process on a GPU that reports no utilisation": (
        lambda here: here.gpu("[N/A]", "", "GPU-0, 4711"),
        "",
    ),
    "a program of yours that reads or writes the disk": (disk, f"{RULE.disk_bps / MB:g} MB/s"),
    "a program of yours that sends or receives": (sockets, f"{RULE.network_bps / MB:g} MB/s"),
    "a transfer": (transfer, f"{RULE.transfer_bps / KB:g} KB/s"),
    "git that an editor or Jupyter": (git_of_an_editor, ""),
    "`gpu-box sync`": (sync, "their start"),
    "a job of `gpu-box run` that computes": (job_computes, f"{RULE.progress_cores:g} of a core"),
    "a job that writes to its log": (job_writes, "each line"),
    "a job that hangs": (job_hangs, "its last progress"),
    "jobs that wait in the queue while none runs": (jobs_wait, "the last use"),
    "a cell that computes": (cell, f"{RULE.progress_cores:g} of a core"),
    "a kernel that waits": (waiting, ""),
    "a notebook that is edited": (lambda here: _document(here, edited=True), "each save"),
    "an open notebook without edits": (lambda here: _document(here, edited=False), ""),
    "a save in VS Code": (editors, "each save"),
    "a key pressed in a terminal": (lambda here: _terminal(here, typed=True), "each key"),
    "a shell, a tunnel or an editor left open": (left_open, ""),
    "htop, nvtop, nvitop": (monitors, ""),
    "a container of": (container, "as a program"),
    "a service that you put": (service, "as a program"),
    "Ollama, PostgreSQL": (databases, "as a program"),
    "services of the distribution": (distribution, ""),
    "`gpu-box keep 3h`": (keep, "its time"),
}


def _row(what: str) -> tuple[Callable[[Here], str], str]:
    (found,) = [value for begin, value in ROWS.items() if what.startswith(begin)]
    return found


def test_every_row_has_a_program_and_every_program_a_row():
    assert len(TABLE) == len(ROWS) and all(_row(what) for what in TABLE)


@needs.programs("bash")
@pytest.mark.parametrize("what", TABLE, ids=lambda what: re.sub("[^a-zA-Z0-9]+", "-", what)[:40].strip("-"))
def test_each_row_counts_as_the_page_says(here, what):
    play, since = _row(what)
    assert TABLE[what] == (play(here), since)


def test_each_row_holds_the_box_up_for_the_time_on_the_page():
    assert RULE.stuck_after == 7200.0
