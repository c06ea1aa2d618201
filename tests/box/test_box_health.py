"""`doctor` on a running box: the driver and the disk, read with set-up's single check, over real SSH."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from gpu_box.box import doctor
from gpu_box.config.model import Config, Network, Ssh
from gpu_box.machine import setup
from gpu_box.machine.health import check_disk, check_driver, parse_health
from gpu_box.machine.ssh.connection import Connection
from gpu_box.model.answer import read_object
from gpu_box.model.check import Check
from gpu_box.model.machine import Health
from tests.paths import REMOTE

from .. import needs
from ..aws.conftest import Laptop

GIB = 1 << 30
# nvidia-smi's messages and exit status.
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.54\n", 18
NO_MODULE = (
    (
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the "
        "latest NVIDIA driver is installed and running.\n\n"
    ),
    9,
)
WELL = "| NVIDIA-SMI 550.54.15    Driver Version: 550.54.15    CUDA Version: 12.4 |\n", 0
WELL_DISK = Health(
    disk_bytes=100 * GIB,
    disk_free_bytes=40 * GIB,
    files=1000,
    files_free=900,
    kernel="6.8.0-1021-aws",
    kernel_has_module=True,
    tool_exit=0,
    tool_said="",
)


@pytest.fixture(scope="module")
def running(
    embedded_exports: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Laptop, Path]]:
    """A box, and the folder of its programs, first in its PATH."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in embedded_exports.items():
            environment.setenv(name, value)
        folder = tmp_path_factory.mktemp("laptop")
        mine = _laptop(folder)
        instance = mine.up().instance
        assert instance is not None
        [bin] = tmp_path_factory.getbasetemp().glob(f"cloud[0-9]*/embedded/machines/{instance.id}/bin")
        yield mine, bin
        mine.down()


def _laptop(folder: Path) -> Laptop:
    network = Network(allow_ssh_from=(ip_network("127.0.0.1/32"),))
    return Laptop(Config(name="health", network=network, ssh=Ssh(key=folder / "key")))


@pytest.fixture
def looked(
    running: tuple[Laptop, Path], aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., dict[str, Check]]]:
    """`looked("what nvidia-smi says", exit_status)`: doctor's lines. Commands over SSH are counted."""
    mine, bin = running
    tool = bin / "nvidia-smi"

    def look(said: str, status: int) -> dict[str, Check]:
        tool.write_text(f"#!/bin/sh\ncat <<'END'\n{said}END\nexit {status}\n")
        tool.chmod(0o755)
        commands: list[str] = []
        run = Connection.run
        with monkeypatch.context() as patch:
            patch.setattr(
                Connection, "run", lambda self, line, **how: commands.append(line) or run(self, line, **how)
            )
            checks = {check.name: check for check in doctor.examine(mine.cloud)}
        assert len(commands) == 1, commands
        return checks

    yield look
    tool.unlink()


def test_a_box_that_is_well_says_so(looked: Callable[..., dict[str, Check]]) -> None:
    checks = looked(*WELL)
    assert checks["box"].ok and checks["box"].line.endswith("host key verified")
    assert checks["driver"].ok
    assert " free" in checks["disk"].line


def test_a_driver_updated_under_its_kernel_module(looked: Callable[..., dict[str, Check]]) -> None:
    check = looked(*MISMATCH)["driver"]
    assert not check.ok
    assert "Driver/library version mismatch" in check.line
    assert check.remedy.startswith("`gpu-box stop`, then `gpu-box up`")


def test_a_kernel_upgraded_without_its_driver(looked: Callable[..., dict[str, Check]]) -> None:
    check = looked(*NO_MODULE)["driver"]
    assert not check.ok
    assert "`gpu-box up`" in check.remedy or "`gpu-box stop`" in check.remedy


def test_the_kernel_without_a_module_is_named() -> None:
    said, status = NO_MODULE
    health = replace(WELL_DISK, kernel_has_module=False, tool_exit=status, tool_said=said)
    check = check_driver(health, card="", state="needed", line="")
    assert not check.ok
    assert "the running kernel 6.8.0-1021-aws has no NVIDIA module" in check.line
    assert "linux-headers-6.8.0-1021-aws" in check.remedy


@pytest.mark.parametrize(("state", "ok"), [("done", True), ("needed", False), ("unavailable", False)])
def test_without_the_tool_set_up_s_own_step_is_the_word(state: str, ok: bool) -> None:
    health = replace(WELL_DISK, tool_exit=None)
    check = check_driver(health, card="", state=state, line="no NVIDIA card: CPU only")
    assert (check.ok, check.line) == (ok, "no NVIDIA card: CPU only")


@pytest.mark.parametrize(
    ("size", "free", "ok", "warned"),
    [
        (100 * GIB, 6 * GIB, True, False),
        (100 * GIB, 4 * GIB, True, True),
        (100 * GIB, GIB - 1, False, True),
        (16384 * GIB, 6 * GIB, True, False),
        (8 * GIB, 2 * GIB, True, False),
        (8 * GIB, GIB // 2, False, True),
    ],
)
def test_a_disk_is_full_before_nothing_fits(size: int, free: int, ok: bool, warned: bool) -> None:
    check = check_disk(replace(WELL_DISK, disk_bytes=size, disk_free_bytes=free))
    assert (check.ok, bool(check.remedy)) == (ok, warned)


def test_a_disk_without_room_for_one_more_file_is_full() -> None:
    check = check_disk(replace(WELL_DISK, files_free=0))
    assert not check.ok and "inodes" in check.line
    assert check_disk(replace(WELL_DISK, files=0, files_free=0)).ok, "btrfs tells none"


@needs.programs("unshare")
def test_a_full_disk_is_found_from_within_it(tmp_path: Path) -> None:
    """A small file system, full, in a mount namespace of its own, which ends with the process."""
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mounted = 'mount -t tmpfs -o size=1m none "$0"'
    if subprocess.run([*alone, mounted, tmp_path], capture_output=True).returncode:
        pytest.skip("needs the right to make a mount namespace")
    fill = 'head -c 2m /dev/zero >"$0/everything" 2>/dev/null'
    done = subprocess.run(
        [*alone, f'{mounted}; {fill}; HOME="$0" exec "$1" -', tmp_path, sys.executable],
        input=setup.question(setup.Desired(remote=REMOTE), health=True).stdin,
        capture_output=True,
        timeout=60,
    )  # fmt: skip
    check = check_disk(parse_health(read_object(done.stdout.decode()).inside("health")))
    assert not check.ok
    assert check.line == "the disk is full: 0 B of 1.0 MB free"
    assert "`disk.size_gib`" in check.remedy
    assert list(tmp_path.iterdir()) == []
