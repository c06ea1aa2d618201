"""Set-up's driver step on a file system of its own, with stand-ins for programs, in the real ones' words."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from setup import apply as applying
from setup import apt, card, processes, reboot, records, session, steps, ubuntu_driver
from setup.desired import Desired
from setup.session import Failed, Session
from setup.step import Step, done, needed
from setup.steps import driver, packages

from .. import needs

_RUNNING, _NEWER = "6.8.0-1021-aws", "6.8.0-1030-aws"
_PATH = os.environ["PATH"]
_SLEEP = shutil.which("sleep")
_TOOLS = ("sh", "env", "cat", "mkdir", "touch", "echo", "cp", "rm", "grep", "install", "ls")
# nvidia-smi where the driver is not loaded (exit status 9; github.com/NVIDIA/nvidia-docker/issues/365).
_NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
    "Make sure that the latest NVIDIA driver is installed and running."
)
# A GTX 1080 with the open module, as kernel and modprobe say it; Volta (V100) is refused alike.
_NO_GSP = """\
[    9.2] nvidia: loading out-of-tree module taints kernel.
[    9.3] NVRM: The NVIDIA GPU 0000:00:07.0 (PCI ID: 10de:1b80) installed in this system
[    9.3] NVRM: is not supported by open nvidia.ko because it does not include the
[    9.3] NVRM: required GPU System Processor (GSP).
[    9.4] nvidia: probe of 0000:00:07.0 failed with error -1
"""


class Machine:
    """An Ubuntu machine with a T4. `root` is what the step reads; programs write what they were asked."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin = root, root / "bin"
        self.bin.mkdir(parents=True)
        for tool in _TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)
        self.add_device("0x030200")
        (root / "etc").mkdir()
        (root / "etc/os-release").write_text('NAME="Ubuntu"\n')
        self.add_kernel(_RUNNING)
        for name in ("apt-get", "apt-mark", "apt-cache", "ubuntu-drivers", "dkms", "systemctl"):
            self.write_program(name)
        self.write_program("dpkg-query", f"cat {root}/packages 2>/dev/null || true")
        self.write_program("dmesg", f"cat {root}/dmesg 2>/dev/null || true")
        self.write_program(
            "modprobe",
            f"if [ ! -e {root}/lib/modules/{_RUNNING}/updates/dkms/nvidia.ko.zst ]; then\n"
            f'  echo "modprobe: FATAL: Module nvidia not found in directory /lib/modules/{_RUNNING}" >&2\n'
            "  exit 1\nfi\n"
            f"mkdir -p {root}/proc/driver && cp -r {root}/loaded {root}/proc/driver/nvidia",
        )
        gpu = root / "loaded/gpus/0000:00:1e.0"
        gpu.mkdir(parents=True)
        (gpu / "information").write_text("Model: \t\t Tesla T4\n")

    def add_device(self, kind: str) -> None:
        folder = self.root / "sys/bus/pci/devices" / f"0000:00:{kind[-4:-2]}.0"
        folder.mkdir(parents=True)
        (folder / "vendor").write_text("0x10de\n")
        (folder / "class").write_text(kind + "\n")

    def add_kernel(self, release: str) -> None:
        (self.root / "boot").mkdir(exist_ok=True)
        (self.root / "boot" / f"vmlinuz-{release}").touch()
        (self.root / "lib/modules" / release).mkdir(parents=True)

    def add_module(self, release: str) -> None:
        module = self.root / "lib/modules" / release / "updates/dkms/nvidia.ko.zst"
        module.parent.mkdir(parents=True)
        module.touch()

    def add_sources(self, name: str, version: str) -> None:
        folder = self.root / "usr/src" / f"{name}-{version}"
        folder.mkdir(parents=True)
        (folder / "dkms.conf").write_text(f'PACKAGE_NAME="{name}"\nPACKAGE_VERSION="{version}"\n')

    def add_library(self, version: str) -> None:
        """Also what the driver says of itself once it is loaded."""
        folder = self.root / "usr/lib/x86_64-linux-gnu"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"libnvidia-ml.so.{version}").touch()
        link = folder / "libnvidia-ml.so.1"
        link.unlink(missing_ok=True)
        link.symlink_to(f"libnvidia-ml.so.{version}")
        self.says(version)

    def says(self, version: str) -> None:
        line = f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Tue Mar  5 22:23:56 UTC 2024\n"
        (self.root / "loaded/version").write_text(line)

    def load(self) -> None:
        shutil.copytree(self.root / "loaded", self.root / "proc/driver/nvidia", dirs_exist_ok=True)

    def add_tool(self) -> None:
        self.write_program(
            "nvidia-smi",
            f"if [ -e {self.root}/proc/driver/nvidia/version ]; then echo 'Tesla T4, 550.54.15, 15360 MiB'\n"
            f'else echo "{_NO_DRIVER}"; exit 9; fi',
        )

    def write_program(self, name: str, text: str = "") -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >> {self.root}/calls\n{text}\n')
        path.chmod(0o755)

    def calls(self, *names: str) -> list[str]:
        path = self.root / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.split()[0] in names] if names else lines


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path / "root")
    for name in ("GPU_BOX_SSHD_DIR", "GPU_BOX_MACHINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setattr(card, "ROOT", f"{made.root}/")
    monkeypatch.setattr("platform.release", lambda: _RUNNING)
    for module in (apt, driver, reboot, ubuntu_driver):
        monkeypatch.setattr(module, "as_root", list)
    monkeypatch.setattr(ubuntu_driver, "ROOT", tmp_path)
    monkeypatch.setattr(ubuntu_driver, "_DROP_IN", str(tmp_path / "drop-in/gpu-box.conf"))
    monkeypatch.setattr(records, "_STEPS", tmp_path / "steps")
    monkeypatch.setattr(session, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(reboot, "_BOOT", tmp_path / "boot_id")
    monkeypatch.setattr(reboot, "_own_processes", list)
    (tmp_path / "boot_id").write_text("first\n")
    return made


def apply() -> str:
    """The line of the state; "needed: ..." if it is not done."""
    run = Session("driver")
    try:
        state = driver.apply(Desired(), run)
    finally:
        run.close()
    return state.line if state.status == "done" else f"{state.status}: {state.line}"


def test_a_driver_that_lost_its_module_to_a_new_kernel_is_built_for_it_and_none_is_installed(
    machine: Machine,
) -> None:
    """As NVIDIA's own installer or an AMI leaves it: sources in /usr/src, nothing that dpkg knows."""
    machine.add_library("550.54.15")
    machine.add_tool()
    machine.add_sources("nvidia", "535.183.01")
    machine.add_sources("nvidia", "550.54.15")
    built = machine.root / "lib/modules" / _RUNNING / "updates/dkms"
    machine.write_program("dkms", f"mkdir -p {built} && touch {built}/nvidia.ko.zst")
    assert driver.check(Desired()) == needed("the NVIDIA driver is installed and does not run")
    assert apply() == "Tesla T4, 15360 MiB, driver 550.54.15"
    assert driver.check(Desired()) == done("Tesla T4, driver 550.54.15")
    assert machine.calls("dkms") == [f"dkms install nvidia/550.54.15 -k {_RUNNING} --force"]
    assert machine.calls("ubuntu-drivers") == []
    assert [line for line in machine.calls("apt-get") if "install" in line] == [
        f"apt-get -y -q install --no-install-recommends linux-headers-{_RUNNING}"
    ]


@pytest.mark.parametrize("left", ["tool", "sources", "library", "module"])
def test_no_driver_is_installed_over_what_is_left_of_another(machine: Machine, left: str) -> None:
    if left == "tool":
        machine.add_tool()
    elif left == "sources":
        machine.add_sources("nvidia-srv", "535.183.01")
    elif left == "library":
        machine.add_library("535.183.01")
    else:
        machine.add_module("6.8.0-1009-aws")
    with pytest.raises(Failed, match=f"has no module for kernel {_RUNNING}.*choose another image"):
        apply()
    assert machine.calls("ubuntu-drivers") == []


def test_a_module_for_the_next_kernel_is_a_reason_to_reboot_once(machine: Machine, tmp_path: Path) -> None:
    machine.add_library("550.54.15")
    machine.add_tool()
    machine.add_kernel(_NEWER)
    machine.add_module(_NEWER)
    why = f"the NVIDIA driver's module is for kernel {_NEWER}, and {_RUNNING} runs"
    assert driver.check(Desired()).status == "needed"
    assert apply() == f"needed: {why}: a reboot is needed"
    assert reboot.wanted() == why
    reboot.begin()
    assert machine.calls("systemctl") == ["systemctl reboot"]
    assert reboot.wanted() == why  # asked for, and not done yet
    (tmp_path / "boot_id").write_text("second\n")
    # The same kernel came back: never again for this reason, and the step says what is wrong.
    assert reboot.wanted() == ""
    with pytest.raises(Failed, match="no reboot is needed"):
        reboot.begin()
    with pytest.raises(Failed, match=f"has no module for kernel {_RUNNING}"):
        apply()
    assert len(machine.calls("systemctl")) == 1


def test_a_kernel_that_boots_next_without_a_module_is_no_reason_to_reboot(machine: Machine) -> None:
    machine.add_tool()
    machine.add_kernel(_NEWER)
    machine.add_module("6.8.0-1009-aws")
    (machine.root / "boot/vmlinuz-6.8.0-1009-aws").touch()
    assert reboot.wanted() == ""


def test_a_driver_that_was_updated_while_it_ran_waits_for_a_reboot(machine: Machine) -> None:
    machine.add_tool()
    machine.add_library("550.54.15")
    machine.load()
    machine.add_library("570.86.15")
    why = "the NVIDIA driver was updated from 550.54.15 to 570.86.15 under the running kernel"
    assert driver.check(Desired()) == needed(f"{why}: a reboot is needed")
    assert apply() == f"needed: {why}: a reboot is needed"


def test_a_process_machine_never_reboots_its_host(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.add_tool()
    machine.add_library("550.54.15")
    machine.load()
    machine.add_library("570.86.15")
    assert reboot.wanted()
    monkeypatch.setenv("GPU_BOX_SSHD_DIR", "/somewhere")
    assert reboot.wanted() == ""
    with pytest.raises(Failed):
        reboot.begin()
    assert machine.calls("systemctl") == []
    shutil.rmtree(machine.root / "proc")
    assert driver.check(Desired()).status == "unavailable"  # nothing is installed on the computer either


@pytest.mark.parametrize(
    ("command", "work"),
    [
        ("python3 -m jobs supervise train", "a job"),
        ("python -m ipykernel_launcher -f kernel-1.json", "a notebook's kernel"),
    ],
)
def test_running_work_prevents_a_reboot(
    command: str, work: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.add_tool()
    machine.add_kernel(_NEWER)
    machine.add_module(_NEWER)
    running = subprocess.Popen([command, "60"], executable=_SLEEP)  # a real process of that name
    try:
        monkeypatch.setattr(reboot, "_own_processes", lambda: [running.pid])
        while not processes.command_of(running.pid):  # empty for a moment after its start
            time.sleep(0.01)
        with pytest.raises(Failed, match=f"a reboot is needed, but {work} is running"):
            reboot.begin()
    finally:
        running.kill()
        running.wait()
    assert machine.calls("systemctl") == []


def test_a_card_that_the_driver_refuses_is_reported_with_the_kernel_s_message(machine: Machine) -> None:
    machine.add_tool()
    machine.add_module(_RUNNING)
    machine.write_program(
        "modprobe", "echo \"modprobe: ERROR: could not insert 'nvidia': No such device\" >&2; exit 1"
    )
    (machine.root / "dmesg").write_text(_NO_GSP)
    with pytest.raises(Failed, match="does not include the required GPU System Processor") as failed:
        apply()
    assert "\n" not in str(failed.value)
    assert "could not insert 'nvidia': No such device" in str(failed.value)
    assert "Choose another image or GPU type" in str(failed.value)


def test_a_driver_that_runs_and_finds_no_card_fails(machine: Machine) -> None:
    machine.add_library("550.54.15")
    machine.load()
    machine.write_program("nvidia-smi", "echo 'No devices were found'; exit 6")
    with pytest.raises(Failed, match="nvidia-smi: No devices were found"):
        apply()


# As dpkg has them on Ubuntu 24.04 after `ubuntu-drivers install --gpgpu` on AWS's kernel.
_PACKAGES = f"""\
installed libnvidia-compute-535-server
installed linux-aws
installed linux-image-{_NEWER}
installed linux-image-aws
installed linux-libc-dev
installed linux-modules-nvidia-535-server-{_NEWER}
installed linux-modules-nvidia-535-server-aws
installed linux-tools-common
installed nvidia-compute-utils-535-server
installed nvidia-headless-no-dkms-535-server
installed nvidia-kernel-common-535-server
config-files nvidia-utils-525
installed openssh-server
"""
# The unit of nvidia-compute-utils on Ubuntu.
_UNIT = """\
[Unit]
Description=NVIDIA Persistence Daemon
Wants=syslog.target
StopWhenUnneeded=true

[Service]
Type=forking
ExecStart=/usr/bin/nvidia-persistenced --user nvidia-persistenced --no-persistence-mode --verbose
ExecStopPost=/bin/rm -rf /var/run/nvidia-persistenced
"""


def installs_prebuilt(machine: Machine) -> None:
    """`ubuntu-drivers install` brings the archive's newest kernel, with a module for that alone."""
    machine.add_library("535.309.01")
    shutil.rmtree(machine.root / "usr/lib")
    (machine.root / "packages.later").write_text(_PACKAGES)
    unit = machine.root / "later/nvidia-persistenced.service"
    unit.parent.mkdir()
    unit.write_text(_UNIT)
    units = machine.root / "usr/lib/systemd/system"
    built = machine.root / "lib/modules" / _NEWER / "kernel/nvidia-535srv"
    machine.write_program(
        "ubuntu-drivers",
        f"cd {machine.root}; cp packages.later packages; touch boot/vmlinuz-{_NEWER}\n"
        f"mkdir -p {built} && touch {built}/nvidia.ko\n"
        f"mkdir -p {units} && cp later/nvidia-persistenced.service {units}",
    )
    tool = machine.bin / "nvidia-smi"
    machine.add_tool()
    tool.rename(machine.root / "later/nvidia-smi")
    machine.write_program(
        "apt-get", f"case $* in *nvidia-utils-*) cp {machine.root}/later/nvidia-smi {machine.bin};; esac"
    )


def test_plain_ubuntu_gets_its_driver_reboots_into_its_kernel_and_is_finished_after_that(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installs_prebuilt(machine)
    assert driver.check(Desired()) == needed("an NVIDIA card without its driver")
    assert apply() == (
        f"needed: the NVIDIA driver's module is for kernel {_NEWER}, and {_RUNNING} runs: a reboot is needed"
    )
    assert machine.calls("modprobe") == machine.calls("apt-mark") == []
    reboot.begin()
    (tmp_path / "boot_id").write_text("second\n")
    monkeypatch.setattr("platform.release", lambda: _NEWER)
    machine.load()
    assert driver.check(Desired()) == needed("the NVIDIA driver's set-up is not complete")
    assert apply() == "Tesla T4, 15360 MiB, driver 550.54.15"
    assert driver.check(Desired()).status == "done"
    assert len(machine.calls("ubuntu-drivers")) == 1
    # Kernel and driver stay together: neither is upgraded without the other.
    (held,) = (line.split()[2:] for line in machine.calls("apt-mark"))
    assert held == [
        line.split()[1]
        for line in _PACKAGES.splitlines()
        if line.startswith("installed") and not line.endswith(("libc-dev", "tools-common", "openssh-server"))
    ]
    assert "nvidia-smi -pm 1" in machine.calls()
    assert (tmp_path / "drop-in/gpu-box.conf").read_text().splitlines()[-2:] == [
        "ExecStart=",
        "ExecStart=/usr/bin/nvidia-persistenced --user nvidia-persistenced --persistence-mode --verbose",
    ]
    assert machine.calls("systemctl")[-2:] == [
        "systemctl daemon-reload",
        "systemctl restart nvidia-persistenced",
    ]


@needs.programs("dpkg-query", "apt-mark")
def test_the_real_dpkg_and_apt_hold_what_is_installed(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ubuntu's package names in a database of their own; what is only configured is no package to hold."""
    for folder in ("info", "updates", "lists"):
        (tmp_path / "dpkg" / folder).mkdir(parents=True)
    (tmp_path / "dpkg/status").write_text(
        "".join(
            f"Package: {name}\nStatus: {'install ok' if status == 'installed' else 'deinstall ok'} {status}\n"
            "Version: 1\nArchitecture: amd64\nMaintainer: Test <test@localhost>\nDescription: x\n"
            + ("Conffiles:\n /etc/x 00000000000000000000000000000000\n" if status != "installed" else "")
            + "\n"
            for status, name in (line.split() for line in _PACKAGES.splitlines())
        )
    )
    for name in ("dpkg-query", "apt-mark"):
        (machine.bin / name).unlink()
    monkeypatch.setenv("PATH", f"{machine.bin}:{_PATH}")
    monkeypatch.setenv("DPKG_ADMINDIR", str(tmp_path / "dpkg"))
    options = tmp_path / "apt.conf"
    options.write_text(
        f'Dir::State "{tmp_path}"; Dir::State::status "{tmp_path}/dpkg/status"; Dir::Cache "{tmp_path}";'
    )
    monkeypatch.setenv("APT_CONFIG", str(options))
    with contextlib.closing(Session("driver")) as run:
        assert ubuntu_driver.branch(run) == "535-server"
        ubuntu_driver._hold(run)
    shown = subprocess.run(
        ["apt-mark", "showhold"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "linux-aws" in shown and f"linux-modules-nvidia-535-server-{_NEWER}" in shown
    assert not {"openssh-server", "linux-libc-dev", "nvidia-utils-525"} & set(shown)


def test_an_installation_that_was_killed_is_continued(machine: Machine) -> None:
    """Half of it looks like a driver that the image brought, which would be repaired."""
    installs_prebuilt(machine)
    whole = (machine.bin / "ubuntu-drivers").read_text()
    machine.write_program("ubuntu-drivers", "exit 1")
    with pytest.raises(Failed):
        apply()
    machine.add_sources("nvidia-srv", "535.309.01")
    (machine.bin / "ubuntu-drivers").write_text(whole)
    assert apply().startswith("needed: the NVIDIA driver's module is for kernel")


def test_a_card_for_which_ubuntu_has_no_driver_is_said_and_a_later_driver_is_the_users(
    machine: Machine,
) -> None:
    with pytest.raises(Failed, match="ubuntu-drivers found no driver for this card: choose another GPU type"):
        apply()
    machine.add_library("550.54.15")
    machine.add_tool()
    machine.load()
    assert driver.check(Desired()) == done("Tesla T4, driver 550.54.15")
    apply()
    assert machine.calls("apt-mark") == []


@pytest.mark.parametrize("offered", ["535.309.01-0ubuntu0.24.04.1", "535.274.02-0ubuntu0.24.04.1"])
def test_nvswitch_machines_get_fabric_manager_of_exactly_the_drivers_version(
    offered: str, machine: Machine, tmp_path: Path
) -> None:
    """The layout is that of `apt-cache madison` (apt 2.6.1); versions are those of packages.ubuntu.com."""
    machine.add_device("0x068000")
    machine.add_tool()
    machine.add_library("535.309.01")
    machine.load()
    records.write("driver", "begun", "")
    rows = "".join(
        f"nvidia-fabricmanager-535 | {version:>28} | http://archive.ubuntu.com/ubuntu noble/multiverse\n"
        for version in ("535.999.01-0ubuntu0.24.04.1", offered)
    )
    (machine.root / "offered").write_text(rows)
    machine.write_program("apt-cache", f"cat {machine.root}/offered")
    if not offered.startswith("535.309.01"):
        with pytest.raises(Failed, match="no nvidia-fabricmanager-535 of the driver's version 535.309.01"):
            apply()
        return
    apply()
    assert f"nvidia-fabricmanager-535={offered}" in machine.calls("apt-get")[-1]
    assert "systemctl enable --now nvidia-fabricmanager" in machine.calls("systemctl")
    # Resized from a type without NVSwitches to one that has them.
    assert driver.check(Desired()) == needed("the NVIDIA driver's set-up is not complete")
    (machine.root / "usr/bin").mkdir()
    (machine.root / "usr/bin/nv-fabricmanager").touch()
    assert driver.check(Desired()).status == "done"


def test_a_system_without_a_driver_that_is_not_ubuntu_fails_at_once_and_names_the_remedy(
    machine: Machine,
) -> None:
    (machine.root / "etc/os-release").write_text('NAME="Debian GNU/Linux"\n')
    with pytest.raises(Failed, match="on Ubuntu only: choose an image that has one"):
        apply()
    assert machine.calls() == []


@pytest.mark.parametrize(
    ("driver_ends", "reported"),
    [
        (Failed("no driver"), {"driver": "failed", "packages": "done", "later": "done"}),
        (needed("for kernel X"), {"driver": "reboot", "packages": "skipped", "later": "skipped"}),
    ],
)
def test_packages_do_not_wait_for_a_driver_that_cannot_come_but_for_a_reboot(
    driver_ends: object,
    reported: dict[str, str],
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What waits for a reboot is applied after it: no build of PyTorch is fetched in vain."""

    def bring_up(desired: Desired, run: Session) -> object:
        if isinstance(driver_ends, Failed):
            raise driver_ends
        return driver_ends

    def step(name: str, apply_: object, **more: object) -> Step:
        return Step(name, lambda desired: needed("x"), apply_, **more)  # type: ignore[arg-type]

    events: list[tuple[str, str]] = []
    monkeypatch.setattr(applying, "tell", lambda name, event, line: events.append((name, event)))
    monkeypatch.setattr(
        steps,
        "ALL",
        (
            step("python", lambda desired, run: done("python")),
            step("driver", bring_up),
            step(
                "packages", lambda *_: done("torch"), after=packages.STEP.after, despite=packages.STEP.despite
            ),
            step("later", lambda *_: done("x"), after=lambda desired: ("packages",)),
        ),
    )
    fine = applying._apply_all(Desired(), steps.ALL)
    assert fine is not isinstance(driver_ends, Failed)
    assert {
        name: event for name, event in events if event not in ("start", "update") and name != "python"
    } == reported
