"""The daemon: it starts once, is found again, is restored after a kill, and ends when unused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed.cloud import Cloud, KeyFile, wait_until
from testbed.ssh import reach

from local_aws import daemon
from local_aws.failure import Failure
from local_aws.machines.process import census
from tests.paths import POLICY


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "data"
    yield home
    daemon.stop(home)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_importing_it_is_quick_and_brings_no_vendor() -> None:
    code = (
        "import sys, local_aws.daemon;"
        "print(sorted({'moto', 'asyncssh', 'boto3', 'flask', 'cryptography'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_the_packages_it_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = daemon.importlib.util.find_spec
    monkeypatch.setattr(
        daemon.importlib.util, "find_spec", lambda name: None if name == "moto" else find(name)
    )
    with pytest.raises(Failure, match=r"moto.*pip install 'gpu-box\[local\]'"):
        daemon.start(home, POLICY)


def test_nothing_is_up_before_it_is_started(home: Path) -> None:
    assert daemon.status(home) is None
    assert daemon.stop(home) is False


def test_it_is_started_once_by_many_and_stopped(home: Path) -> None:
    exported: list[dict[str, str]] = []
    starters = [
        threading.Thread(target=lambda: exported.append(daemon.start(home, POLICY))) for _ in range(4)
    ]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert len(exported) == 4
    assert len({tuple(exports.items()) for exports in exported}) == 1
    first = daemon.status(home)
    assert first is not None
    assert exported[0]["AWS_ENDPOINT_URL"] == first.endpoint == f"http://127.0.0.1:{first.port}"
    assert exported[0]["GPU_BOX_CHECKIP_URL"] == f"{first.endpoint}/checkip"
    assert os.getsid(first.pid) == first.pid, "in a session of its own: closing the terminal leaves it"

    assert daemon.stop(home) is True
    assert daemon.status(home) is None
    wait_until(lambda: is_gone(first.pid))
    assert daemon.start(home, POLICY) == exported[0], "its port is for life"


def test_a_killed_daemon_comes_back_with_all_that_was_and_no_orphans(home: Path, key: KeyFile) -> None:
    cloud = Cloud(home)
    cloud.empty()
    instance = cloud.run_with_machine(key)
    cloud.weather(quotas={"L-417A185B": 5})
    cloud.client("iam").create_role(RoleName="deadline", AssumeRolePolicyDocument="{}")
    stopped = cloud.wait(cloud.run(ClientToken="once"), "running")
    cloud.ec2.stop_instances(InstanceIds=[stopped])
    cloud.wait(stopped, "stopped")
    before, ssh = cloud.see(instance), reach(cloud, instance, key)
    ssh.says("echo kept > file; (setsid sleep 1000 >/dev/null 2>&1 &)")
    killed = daemon.status(home)
    assert killed is not None

    os.kill(killed.pid, signal.SIGKILL)
    wait_until(lambda: is_gone(killed.pid))
    wait_until(lambda: len(census.members(instance)) == 1)  # an orphan; not found while it is being started
    assert daemon.status(home) is None
    assert daemon.start_as_owner(home, POLICY) == cloud.exports
    assert census.members(instance) == set()

    seen = cloud.see(instance)
    for what in ("State", "PublicIpAddress", "LaunchTime", "Tags", "SecurityGroups"):
        assert seen[what] == before[what]
    wait_until(lambda: ssh.run("true").returncode == 0)
    assert ssh.says("cat file") == "kept"
    assert cloud.state(stopped) == "stopped"
    assert cloud.run(ClientToken="once") == stopped, "client tokens are remembered"
    assert cloud.client("iam").get_role(RoleName="deadline")["Role"]["RoleName"] == "deadline"
    assert cloud.weather()["quotas"]["L-417A185B"] == 5


def test_a_change_is_on_disk_before_it_is_answered(home: Path) -> None:
    cloud = Cloud(home)
    running = daemon.status(home)
    assert running is not None
    instance = cloud.run()
    os.kill(running.pid, signal.SIGKILL)
    wait_until(lambda: daemon.status(home) is None)
    daemon.start(home, POLICY)
    assert cloud.state(instance) in ("pending", "running")


def test_what_was_due_while_it_was_down_is_done_when_it_is_up(home: Path) -> None:
    cloud = Cloud(home)
    cloud.weather(delays={"pending": 1.0})
    instance = cloud.run()
    daemon.stop(home)
    daemon.start(home, POLICY)
    cloud.wait(instance, "running")


def test_stopping_it_ends_the_machines_and_keeps_their_disks(home: Path, key: KeyFile) -> None:
    cloud = Cloud(home)
    cloud.empty()
    instance = cloud.run_with_machine(key)
    ssh = reach(cloud, instance, key)
    ssh.says("echo kept > file; (setsid sleep 1000 >/dev/null 2>&1 &)")
    daemon.stop(home)
    assert census.members(instance) == set()
    assert (cloud.machine_folder(instance) / "home/file").read_text() == "kept\n"


def test_a_folder_left_by_an_unknown_machine_is_removed(home: Path) -> None:
    left = home / "embedded/machines/i-0000000000000dead/home"
    left.mkdir(parents=True)
    Cloud(home)
    wait_until(lambda: not left.parent.exists())


def test_another_program_at_the_port_moves_the_cloud_and_says_so(home: Path) -> None:
    port = int(daemon.start(home, POLICY)["AWS_ENDPOINT_URL"].rpartition(":")[2])
    daemon.stop(home)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        said: list[str] = []
        moved = daemon.start(home, POLICY, note=said.append)
        assert daemon.start(home, POLICY, note=said.append) == moved
    assert not moved["AWS_ENDPOINT_URL"].endswith(f":{port}")
    assert len(said) == 1, "once"
    for word in (str(port), moved["AWS_ENDPOINT_URL"], "gpu-box local env"):
        assert word in said[0]
    daemon.stop(home)
    assert daemon.start(home, POLICY, note=said.append) == moved, "the new port is for life, too"
    assert len(said) == 1


def test_a_state_that_cannot_be_read_is_said_and_not_thrown_away(home: Path) -> None:
    (home / "embedded").mkdir(parents=True)
    (home / "embedded/state").write_bytes(b"something else")
    with pytest.raises(Failure, match="saved state cannot be read"):
        daemon.start(home, POLICY)
    assert (home / "embedded/state").read_bytes() == b"something else"


def test_it_ends_by_itself_when_the_last_box_is_gone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_BOX_EMBEDDED_LINGER_S", "5")
    cloud = Cloud(home)
    cloud.weather(delays={"pending": 0.1, "stopping": 0.1, "shutting-down": 0.1})
    instance = cloud.wait(cloud.run(), "running")
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    time.sleep(7)
    assert daemon.status(home) is not None, "a stopped box counts as there"
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    wait_until(lambda: daemon.status(home) is None)


def test_a_profile_meant_for_aws_does_not_reach_the_daemon(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "missing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    cloud = Cloud(home)
    monkeypatch.undo()
    assert cloud.ec2.describe_instances()["Reservations"] == []
