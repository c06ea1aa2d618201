"""The floor that every test stands on: what tests/conftest.py promises, seen from a test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from .paths import ROOT

CONFTEST = Path(__file__).with_name("conftest.py")
NEEDS_A_MACHINE = """
import pytest

@pytest.mark.machine
def test_boots():
    pytest.skip("no systemd-nspawn here")

def test_other():
    pytest.skip("fine")
"""


def test_there_is_no_account_here() -> None:
    assert boto3.Session().get_credentials() is None
    ours = {"GPU_BOX_REQUIRE_MACHINES", "GPU_BOX_EMBEDDED_LINGER_S"}
    assert not [name for name in os.environ if name.startswith("GPU_BOX_") and name not in ours]


def test_the_home_folder_is_empty_and_short_enough_for_a_socket() -> None:
    """But for what the SDK knows of EC2."""
    found = [str(path.relative_to(Path.home())) for path in sorted(Path.home().rglob("*"))]
    assert found == [".cache", ".cache/gpu-box", ".cache/gpu-box/models"]
    assert Path("~").expanduser() == Path.home()
    assert len(str(Path.home())) < 40


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "example.com", "169.254.169.254"])
def test_the_network_is_out_of_reach(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as one, pytest.raises(pytest.fail.Exception, match=f"network: {address}:80"):
        one.connect((address, 80))


def test_loopback_and_unix_sockets_are_within_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
    path = str(Path.home() / "socket")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)


@pytest.mark.parametrize(("required", "passes"), [("", True), ("1", False)])
def test_a_skipped_machine_fails_where_machines_are_required(
    tmp_path: Path, required: str, passes: bool
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "test_it.py").write_text(NEEDS_A_MACHINE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  machine: x\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path)],
        env={**os.environ, "GPU_BOX_REQUIRE_MACHINES": required},
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) is passes, done.stdout
    said = (
        "test_boots: GPU_BOX_REQUIRE_MACHINES is set, and this test was skipped. Skipped: no systemd-nspawn"
    )
    assert (said in done.stdout) is not passes, done.stdout
    assert "1 skipped" in done.stdout or passes


def test_the_summary_says_once_why_tests_were_skipped_and_how_many(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  machine: x\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', range(3))\ndef test_a(n): pytest.skip('needs rsync')\n"
        "@pytest.mark.skipif(True, reason='needs rsync')\ndef test_b(): pass\n"
        "def test_c(): pytest.skip('needs root')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", str(tmp_path)],
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert lines[-4].strip("= ") == "skipped: 5", done.stdout
    assert lines[-3:-1] == ["   4  needs rsync", "   1  needs root"]


def test_each_test_that_takes_long_is_there() -> None:
    """A line of tests/long.txt that names none, after a rename, would have no effect."""
    lines = (ROOT / "tests" / "long.txt").read_text().splitlines()
    for path, _, test in (line.partition("::") for line in lines if not line.startswith("#")):
        assert f"def {test.partition('[')[0]}" in (ROOT / path).read_text(), f"{path}::{test}"
