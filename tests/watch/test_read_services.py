"""Services and containers, recognised from lines of /proc/PID/cgroup that public reports show."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from cgroup import group
from tests import needs

from watch.read import services
from watch.read.people import Kind, classifier, counting_uid

ID = "06dc5f321aad8726aa26559f16ec203bc099245bc44894b14a89fc02b022d1d5"
CONTAINERS = [
    f"0::/system.slice/docker-{ID}.scope",  # Docker, systemd driver
    f"0::/docker/{ID}",  # Docker, cgroupfs driver
    f"12:pids:/docker/{ID}",  # and with cgroup v1
    f"0::/system.slice/nerdctl-{ID}.scope",
    f"11:memory:/default/{ID}",  # nerdctl and ctr, cgroupfs driver
    f"0::/machine.slice/libpod-{ID}.scope/container",  # Podman, rootful
    f"0::/machine.slice/libpod-conmon-{ID}.scope",
    f"0::/kubepods.slice/kubepods-besteffort.slice/cri-containerd-{ID}.scope",
    "0::/lxc.payload.web/system.slice/memcached.service",
    "0::/machine.slice/machine-example.scope",  # systemd-nspawn
]
SYSTEM = [
    "0::/init.scope",
    "0::/system.slice/cron.service",
    "0::/system.slice/ssh.service",
    "0::/system.slice/docker.service",
    "0::/system.slice/apt-daily.service",
    "0::/system.slice/system-getty.slice/getty@tty1.service",
    "1:name=systemd:/system.slice/unattended-upgrades.service",
    "0::/user.slice/user-111.slice/session-c1.scope",  # a display manager's greeter
    "0::/system.slice/snap.amazon-ssm-agent.amazon-ssm-agent.service",
    "0::/system.slice/gpu-box-watch.service",
]


def _people(line: str, root: Path, above: str = "0::/init.scope") -> bool:
    return services.of_people(line, services.base(above), lambda uid: uid >= 1000, root=str(root))


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A root folder with the units of a distribution: files in /usr/lib, links and snapd's files in /etc."""
    for folder in ("etc/systemd/system", "run/systemd/transient", "usr/lib/systemd/system"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("cron.service", "ssh.service", "docker.service", "apt-daily.service", "getty@.service"):
        (tmp_path / "usr/lib/systemd/system" / name).touch()
        (tmp_path / "etc/systemd/system" / name).symlink_to(f"/usr/lib/systemd/system/{name}")
    for name in ("snap.amazon-ssm-agent.amazon-ssm-agent.service", "gpu-box-watch.service"):
        (tmp_path / "etc/systemd/system" / name).touch()
    return tmp_path


@pytest.mark.parametrize("line", CONTAINERS)
def test_a_container_counts(etc, line):
    assert _people(line, etc)


@pytest.mark.parametrize("line", SYSTEM)
def test_the_distribution_s_services_do_not_count(etc, line):
    assert not _people(line, etc)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("etc/systemd/system/ollama.service", "0::/system.slice/ollama.service"),
        ("etc/systemd/system/worker@.service", "0::/system.slice/system-worker.slice/worker@3.service"),
        ("etc/systemd/system/train.service", "1:name=systemd:/system.slice/train.service"),
        ("run/systemd/transient/run-u507.service", "0::/system.slice/run-u507.service"),
    ],
)
def test_a_service_that_a_person_installed_or_started_counts(etc, file, line):
    assert not _people(line, etc)
    (etc / file).touch()
    assert _people(line, etc)


def test_a_box_inside_a_container_still_tells_services_apart(etc):
    above = f"0::/docker/{ID}/init.scope\n1:name=systemd:/docker/{ID}"
    assert not _people(f"0::/docker/{ID}/system.slice/cron.service", etc, above)
    assert not _people(f"1:name=systemd:/docker/{ID}/system.slice/cron.service", etc, above)
    assert _people(f"0::/docker/{ID}/system.slice/docker-{ID}.scope", etc, above)


def test_a_login_counts(etc):
    assert _people("0::/user.slice/user-0.slice/session-4.scope", etc)
    assert _people("0::/user.slice/user-1000.slice/user@1000.service/app.slice/train.service", etc)


@pytest.mark.parametrize("uid", [0, 33, 111, 999, 60600, 61184, 64000, 65519, 65534])
def test_system_and_dynamic_users_do_not_count(uid):
    if os.geteuid() != 0:
        pytest.skip("an ordinary user's watcher counts its own processes")
    assert not counting_uid()(uid)
    assert counting_uid()(1000) and counting_uid()(70_000)


@needs.root
@pytest.mark.parametrize("path", [f"docker/{ID}", f"system.slice/nerdctl-{ID}.scope"])
def test_a_real_process_in_a_container_s_group_is_work(start, path):
    with group(path) as folder:
        process = start("sleep", "60")
        assert _kind(process.pid) is Kind.SYSTEM
        (folder / "cgroup.procs").write_text(str(process.pid))
        assert path in Path(f"/proc/{process.pid}/cgroup").read_text()
        assert _kind(process.pid) is Kind.WORK
        process.kill()
        process.wait(60)


@needs.root
@pytest.mark.parametrize("name", ["ollama", "postgres"])
def test_a_real_process_of_a_database_or_model_server_is_work(start, tmp_path, name):
    program = tmp_path / name
    shutil.copy("/bin/sleep", program)
    one = start(str(program), "60")  # its uid does not matter
    other = start("sleep", "60", user=64000)
    time.sleep(0.5)
    assert _kind(one.pid, 33) is Kind.WORK
    assert _kind(other.pid, 64000) is Kind.SYSTEM


def _kind(pid: int, uid: int = 0) -> Kind:
    name = Path(f"/proc/{pid}/comm").read_text().strip()
    return classifier(own=1)(pid, uid, name)
