"""The rate of transfers, measured on real processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from only import only
from tests import needs
from traces.decide import decide
from watcher_box import REMOTE, until

from watch.policy import Policy
from watch.read.people import User
from watch.read.processes import Processes
from watch.read.syncs import Syncs
from watch.read.transfers import carried
from watch.sample import Rate, Sample

PYTHON = sys.executable
PACED = """
import sys, time
rate, out = float(sys.argv[1]), open(sys.argv[2], "wb", 0)
while True:
    out.write(b"x" * int(rate / 20))
    time.sleep(0.05)
"""
TRANSFERS = ["rsync", "scp", "sftp-server", "curl", "wget", "aws", "s5cmd", "rclone", "git", "dvc", "dockerd"]


def _carried(*pids: int, seconds: float = 2.0):
    processes = Processes(only(*pids))
    processes.look()
    time.sleep(seconds)
    return carried(processes, processes.look().over)


@pytest.fixture
def named(tmp_path, start):
    """named(program, rate): a script with the program's name that writes `rate` bytes/s."""

    def named(program: str, rate: float, *caller: str) -> subprocess.Popen:
        script = tmp_path / program
        script.write_text(f"#!{PYTHON}\n{PACED}")
        script.chmod(0o755)
        return start(*caller, str(script), str(rate), os.devnull)

    return named


@pytest.mark.parametrize("program", TRANSFERS)
def test_a_transfer_counts_at_the_rate_of_a_slow_uplink(named, program):
    rate = _carried(named(program, 300_000).pid)
    assert 100_000 < rate.value < 600_000 and rate.who == program
    assert _state(Rate(rate.value, rate.who)) == "active"


def test_a_trickling_transfer_and_other_programs_at_a_transfer_s_rate_do_not_count(named):
    assert _state(_carried(named("rsync", 20_000).pid)) != "active"
    assert _carried(named("train", 300_000).pid) == Rate(0.0, "")
    assert _state(Rate(300_000.0, "")) != "active"


@needs.programs("rsync")
def test_a_real_rsync_over_a_slow_link_counts(start, tmp_path):
    (tmp_path / "data").write_bytes(os.urandom(20_000_000))
    sync = start("rsync", "--bwlimit=400", str(tmp_path / "data"), str(tmp_path / "copy"))
    time.sleep(0.5)
    rate = _carried(sync.pid)
    assert rate.value > 100_000 and rate.who == "rsync"


@needs.programs("curl")
def test_a_real_upload_by_curl_counts(start, tmp_path):
    """The kernel does not count its send(2) calls, but it counts its reads of the file."""
    (tmp_path / "data").write_bytes(os.urandom(20_000_000))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        curl = start("curl", "-s", "--limit-rate", "400k", "-H", "Expect:", "-T", str(tmp_path / "data"), url)
        server, _ = listener.accept()
        drain = threading.Thread(target=lambda: [None for _ in iter(lambda: server.recv(1 << 16), b"")])
        drain.start()
        with server:
            rate = _carried(curl.pid, seconds=3.0)
            curl.kill()
            drain.join(60)
        assert rate.value > 100_000 and rate.who == "curl"


@needs.programs("git")
def test_a_real_git_counts(start):
    feed = f"{PYTHON} -c '{PACED}' 300000 /dev/stdout | git hash-object --stdin"
    assert _carried(start("sh", "-c", feed).pid).who == "git"


def test_many_small_downloads_count(start, tmp_path):
    script = tmp_path / "wget"
    script.write_text(
        f"#!{PYTHON} -S\nimport time; open({os.devnull!r}, 'wb').write(b'x' * 200_000); time.sleep(.3)"
    )
    script.chmod(0o755)
    loop = start("sh", "-c", f"while :; do {script}; done")
    processes, rates = Processes(only(loop.pid)), []
    processes.look()
    for _ in range(4):
        time.sleep(1.0)
        rates.append(carried(processes, processes.look().over).value)
    assert max(rates) > 200_000  # a reading between two of them sees none


@pytest.mark.parametrize("server", [".vscode-server/bin/abc/node", "jupyter-lab"])
def test_git_run_by_an_editor_or_jupyter_does_not_count(tmp_path, named, server):
    path = tmp_path / server
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/bin/bash")  # recognised by argv[0]
    one = named("git", 300_000, str(path), "-c", '"$0" "$@"; :')
    assert _carried(one.pid).value == 0
    mine = named("git", 300_000, str(path), "-c", 'sh -c \'"$0" "$@"; :\' "$0" "$@"; :')
    assert _carried(mine.pid).who == "git"


def _state(network: Rate) -> str:
    sample = Sample(boot="b", mono=100.0, wall=1e9, up=1000.0, over=15.0, network=network)
    return decide([sample], Policy()).state


def test_a_running_sync_counts_and_an_old_one_does_not(tmp_path):
    users, syncs = [User("me", os.getuid(), str(tmp_path))], Syncs()

    def read():
        return syncs.read(users, mono=time.monotonic(), wall=time.time())

    assert read() == ()
    argv = [PYTHON, "-s", "-m", "sync", "list", str(tmp_path)]
    subprocess.run(argv, cwd=REMOTE, env={**os.environ, "HOME": str(tmp_path)}, check=True, stdout=-3)
    (used,) = read()
    assert used.quiet < 5
    sample = Sample(boot="b", mono=100.0, wall=1e9, up=1000.0, over=15.0, ssh=(used,))
    assert decide([sample], Policy()).reason == "active: files moved by gpu-box sync"
    os.utime(tmp_path / ".gpu-box/sync/active", (1e9, 1e9))
    syncs = Syncs()
    assert read()[0].quiet > 1e6


def test_a_box_stops_after_an_upload_and_not_during_it(box, start, tmp_path):
    script = tmp_path / "rsync"
    script.write_text(f"#!{PYTHON}\n{PACED}")
    script.chmod(0o755)
    upload = start(str(script), "300000", os.devnull, env=box.environment)
    box.start()
    assert until(lambda: box.written().get("verdict", {}).get("state") == "active", 60)
    assert not box.stopped_within(4)
    assert "network (rsync)" in box.status()["verdict"]["reason"]
    upload.kill()
    assert box.stopped_within(60)
