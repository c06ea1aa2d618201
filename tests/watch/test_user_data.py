"""The user data: valid, small enough, and it arms the fuse first."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from tests import needs

from gpu_box.aws.launch import render_user_data
from gpu_box.config.model import Config

EC2_LIMIT = 16_384  # bytes, before base64; AWS, "Run commands when you launch an EC2 instance"
PRIVATE = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "b3BlbnNzaA==\n" * 6 + "-----END OPENSSH PRIVATE KEY-----\n"
)
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample gpu-box"


@pytest.fixture
def document() -> str:
    return render_user_data(Config(), host_private_key=PRIVATE, host_public_key=PUBLIC)


def test_every_placeholder_is_filled_and_the_key_is_whole(document):
    config = yaml.safe_load(document)
    assert document.startswith("#cloud-config\n")
    assert "@" not in document.replace(PUBLIC, "")
    assert config["ssh_keys"] == {"ed25519_private": PRIVATE, "ed25519_public": PUBLIC}


def test_it_is_well_below_ec2_s_size_limit(document):
    assert len(document.encode()) < EC2_LIMIT / 2


def test_rendering_it_twice_gives_the_same_bytes(document):
    assert render_user_data(Config(), host_private_key=PRIVATE, host_public_key=PUBLIC) == document


@needs.programs("cloud-init")
def test_cloud_init_accepts_it(document, tmp_path):
    path = tmp_path / "user-data"
    path.write_text(document)
    # Debian's cloud-init 22.4 has the command under `schema`, the older ones under `devel schema`.
    checked = subprocess.run(["cloud-init", "schema", "-c", path], capture_output=True, text=True)
    assert "Valid" in checked.stdout + checked.stderr, checked.stdout + checked.stderr


@pytest.fixture
def machine(document, tmp_path):
    """Runs bootcmd in sh, with /etc and /usr in a folder and a recording systemctl."""
    (script,) = yaml.safe_load(document)["bootcmd"]
    for folder in (
        "/etc/systemd/system",
        "/usr/local/lib/gpu-box",
        "/run/gpu-box",
        "/var/lib",
        "/dev/console",
        "/home",
    ):
        script = script.replace(folder, f"{tmp_path}{folder}")
    (tmp_path / "dev").mkdir()
    return Boot(tmp_path, script)


class Boot:
    def __init__(self, root: Path, script: str) -> None:
        self.root, self.script = root, script
        self.calls = root / "calls"

    def run(self, script: str | None = None, *, systemctl: str = "exit 0") -> list[str]:
        programs = self.root / "bin"
        programs.mkdir(exist_ok=True)
        for name, body in {"systemctl": systemctl, "sleep": "", "shutdown": ""}.items():
            (programs / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{self.calls}\n{body}\n')
            (programs / name).chmod(0o755)
        self.calls.write_text("")
        subprocess.run(
            ["sh", "-euc", script or self.script],
            env={"PATH": f"{programs}:/usr/bin:/bin"},
            check=True,
            timeout=30,
        )
        return self.calls.read_text().splitlines()


def test_the_fuse_is_armed_at_every_boot(machine):
    assert machine.run() == ["systemctl daemon-reload", "systemctl start --no-block gpu-box-fuse.timer"]
    units = machine.root / "etc/systemd/system"
    assert "OnBootSec=1800s" in (units / "gpu-box-fuse.timer").read_text()
    wanted = units / "sysinit.target.wants/gpu-box-fuse.timer"
    assert wanted.resolve() == units / "gpu-box-fuse.timer"
    machine.run()  # at the next boot everything exists


def test_the_fuse_leaves_a_healthy_machine_alone(machine):
    machine.run()
    service = (machine.root / "etc/systemd/system/gpu-box-fuse.service").read_text()
    assert "ConditionPathExists=!" in service and "/run/gpu-box/healthy" in service


def test_the_fuse_powers_off_and_records_its_reason(machine):
    machine.run()
    calls = machine.run(f"sh {machine.root}/usr/local/lib/gpu-box/fuse")
    assert calls[0] == "systemctl poweroff"
    assert calls[-1] == "systemctl --force --force poweroff"
    stopped = (machine.root / "var/lib/gpu-box/watch/stopped.json").read_text()
    assert json.loads(stopped)["layer"] == "fuse" and len(stopped) == 4096


def test_without_systemd_a_process_is_the_fuse(machine):
    machine.run(systemctl="exit 1")
    for _ in range(50):
        if "sleep 1800" in machine.calls.read_text():
            break
        time.sleep(0.05)
    assert "sleep 1800" in machine.calls.read_text()


def test_jobs_of_an_image_neither_start_nor_resume_on_a_new_box_and_go_on_where_they_were(machine):
    jobs = machine.root / "home/ada/.gpu-box/jobs"
    files = {
        "waits": ["turn"],
        "ended": ["turn", "started", "exit"],
        "runs": ["started"],
        "left": ["turn", "exit"],
        "cut": ["started", "exit", "interrupted"],
    }
    for name, its in files.items():
        (jobs / name).mkdir(parents=True)
        for file in ("command", *its):
            (jobs / name / file).write_text("1\n")
    (jobs / ".then").write_text("boot waits\n")
    box = machine.root / "var/lib/gpu-box/box"
    box.parent.mkdir(parents=True)
    box.write_text(f"{PUBLIC}\n")
    machine.run()  # the same box: after `stop` and `up`, `resize`, `bake` or `move`
    assert (jobs / "waits/command").exists() and (jobs / ".then").exists()
    assert (jobs / "cut/interrupted").exists()
    box.write_text("ssh-ed25519 AAAA of-the-baked-box\n")
    machine.run()
    assert sorted(path.parent.name for path in jobs.glob("*/command")) == ["cut", "ended", "left", "runs"]
    assert not (jobs / ".then").exists() and not (jobs / "cut/interrupted").exists()
    (jobs / "waits/command").write_text("1\n")
    machine.run()  # its next boot
    assert (jobs / "waits/command").exists()


def test_a_first_boot_without_any_job_says_which_box_it_is(machine):
    machine.run()
    assert (machine.root / "var/lib/gpu-box/box").read_text() == f"{PUBLIC}\n"


@needs.programs("shellcheck")
def test_shellcheck_passes(document, tmp_path):
    (script,) = yaml.safe_load(document)["bootcmd"]
    begin, end = script.index("#!/bin/sh"), script.index("SCRIPT\ncat")
    (tmp_path / "bootcmd.sh").write_text("#!/bin/sh\n" + script)
    (tmp_path / "fuse.sh").write_text(script[begin:end])
    subprocess.run(["shellcheck", tmp_path / "bootcmd.sh", tmp_path / "fuse.sh"], check=True, timeout=60)
