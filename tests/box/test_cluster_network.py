"""Members of a cluster reach each other over a network like AWS's, with a different interface name on each.

Two network namespaces joined by a veth pair, with real torchrun and gloo. NCCL needs GPUs: only the value of
its variable is checked, against the syntax in its documentation.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpu_box.box import cluster
from tests import needs
from tests.paths import REMOTE

FIRST, SECOND = "172.31.16.5", "172.31.16.6"
PATIENCE_S = 180  # PyTorch is imported four times, perhaps on a busy machine
SCRIPT = """
import json, os, pathlib, sys, torch
from vgg16.distributed import joined

with joined("cpu") as ranks:
    total = ranks.sum(torch.tensor([1.0 + ranks.rank])).item()
names = [os.environ.get(f"{library}_SOCKET_IFNAME") for library in ("GLOO", "NCCL")]
pathlib.Path(sys.argv[1], str(ranks.rank)).write_text(json.dumps([total, *names]))
"""


@contextmanager
def namespace() -> Iterator[str]:
    """The id of a process that has a network of its own, which goes with it."""
    waiting = ["unshare", "--net", "sh", "-c", "echo ready; exec sleep 600"]
    with subprocess.Popen(waiting, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            pytest.skip("needs the right to make a network namespace")
        try:
            yield str(holder.pid)
        finally:
            holder.kill()


def inside(holder: str, *command: str) -> list[str]:
    return ["nsenter", "-t", holder, "--net", *command]


def ip(holder: str, words: str) -> None:
    subprocess.run(inside(holder, "ip", *words.split()), check=True)


@pytest.fixture
def machines() -> Iterator[list[str]]:
    """Rank 0 has ens5, the other rank eth1. Each has Docker's bridge, too."""
    with namespace() as first, namespace() as second:
        ip(first, f"link add ens5 type veth peer name eth1 netns {second}")
        for holder, name, address in ((first, "ens5", FIRST), (second, "eth1", SECOND)):
            ip(holder, "link add docker0 type veth peer name container")
            for interface, own in (("lo", ""), ("docker0", "172.17.0.1/16"), (name, f"{address}/20")):
                if own:
                    ip(holder, f"address add {own} dev {interface}")
                ip(holder, f"link set {interface} up")
        yield [first, second]


def start(holder: str, rank: int, script: Path, results: Path) -> subprocess.Popen[bytes]:
    line = cluster.torchrun(rank, 2, FIRST, "ab12") + f"{script} {results}"
    # A process namespace of its own, so that torchrun's workers end with the test, too.
    alone = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", line]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "PYTHONPATH": str(REMOTE), "HOME": str(results)}
    return subprocess.Popen(inside(holder, *alone), env=environment)


@needs.root
@needs.programs("unshare", "nsenter", "ip", "sed")
def test_two_boxes_train_together_over_the_interface_that_bears_each_one_s_address(
    machines: list[str], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    running = [start(holder, rank, script, tmp_path) for rank, holder in enumerate(machines)]
    try:
        assert [process.wait(timeout=PATIENCE_S) for process in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
            process.wait()
    found = [json.loads((tmp_path / str(rank)).read_text()) for rank in (0, 1)]
    assert found == [[3.0, "ens5", "=ens5"], [3.0, "eth1", "=eth1"]]
