"""A real Debian behind an instance: it boots the very user data, and its own shutdown stops the instance."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed.box import Box, start_box
from testbed.cloud import Cloud, KeyFile, wait_until
from testbed.leash import leashed

from local_aws import daemon
from tests.paths import POLICY, ROOT

from .conftest import new_home

pytestmark = [pytest.mark.machine, pytest.mark.timeout(600)]

SAVES_WHEN_STOPPED = b"""
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=true
ExecStop=/bin/sh -c 'sleep 1; echo saved > /root/saved'
"""


@pytest.fixture
def box(cloud: Cloud, key: KeyFile) -> Iterator[Box]:
    box = start_box(cloud, key)
    yield box
    cloud.empty()


def left_of(instance: str) -> list[str]:
    """What the host still has of a machine: processes, mounts, namespaces, control groups."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if instance in line]
    # Not "**": other machines' groups go while one looks.
    groups = [
        str(path)
        for depth in ("", "*/")
        for path in Path("/sys/fs/cgroup").glob(f"{depth}gpu-box-{instance}")
    ]
    namespaces = [p.name for p in Path("/run/netns").glob(f"*{instance}*")]
    processes = [
        entry.name
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and instance.encode() in _command_line(entry)
    ]
    return [*mounts, *groups, *namespaces, *processes]


def _command_line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def test_it_boots_the_user_data_with_systemd_and_serves_the_given_host_key(
    cloud: Cloud, key: KeyFile
) -> None:
    box = start_box(
        cloud,
        key,
        cloud_config=(
            "bootcmd: ['echo booted >> /root/boots']\n"
            'write_files: [{path: /etc/written, content: "by cloud-init\\n"}]\n'
            "runcmd: ['echo ran > /root/ran']\n"
        ),
    )
    ssh = box.ssh()
    assert ssh.says("cloud-init status --wait").endswith("status: done")
    assert ssh.says("systemctl is-system-running --wait") == "running"
    assert ssh.says("ps -p 1 -o comm=") == "systemd"
    assert ssh.says("cat /etc/written; sudo cat /root/boots /root/ran").split("\n") == [
        "by cloud-init", "booted", "ran"
    ]  # fmt: skip
    assert ssh.says("whoami; sudo whoami; pwd").split() == ["ubuntu", "root", "/home/ubuntu"]
    assert ssh.says("hostname") == box.instance
    assert "Reached target" in box.console()


def test_a_shutdown_typed_in_it_stops_the_instance(cloud: Cloud, box: Box) -> None:
    box.ssh().run("echo kept > file; sudo shutdown -h now")
    cloud.wait(box.instance, "stopped")
    seen = cloud.see(box.instance)
    assert seen["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert seen["StateTransitionReason"] == "User initiated"
    assert left_of(box.instance) == []
    cloud.ec2.start_instances(InstanceIds=[box.instance])
    cloud.wait(box.instance, "running")
    assert box.ssh().says("cat file") == "kept"


def test_a_shutdown_terminates_an_instance_set_to_terminate(cloud: Cloud, box: Box) -> None:
    cloud.ec2.modify_instance_attribute(
        InstanceId=box.instance, InstanceInitiatedShutdownBehavior={"Value": "terminate"}
    )
    box.ssh().run("sudo poweroff")
    cloud.wait(box.instance, "terminated")
    assert cloud.see(box.instance)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert not cloud.machine_folder(box.instance).exists()


def test_a_reboot_keeps_the_instance_running_and_the_disk(cloud: Cloud, box: Box) -> None:
    ssh = box.ssh()
    before = ssh.says(
        "echo kept > file; cat /proc/sys/kernel/random/boot_id; systemctl show -p UserspaceTimestamp"
    )
    for reboot in (
        lambda: ssh.run("sudo reboot"),
        lambda: cloud.ec2.reboot_instances(InstanceIds=[box.instance]),
    ):
        reboot()
        wait_until(lambda: ssh.run("true").returncode != 0)
        wait_until(lambda: ssh.run("true").returncode == 0, seconds=60)
        assert cloud.state(box.instance) == "running"
        assert ssh.says("cat file") == "kept"
    assert ssh.says("systemctl show -p UserspaceTimestamp") not in before


ASKS_FOR_ITS_METADATA = """
import urllib.request
def ask(method, path, **headers):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request("http://169.254.169.254/latest/" + path, headers=headers, method=method)
    return opener.open(request, timeout=60).read().decode()
token = ask("PUT", "api/token", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
print(ask("GET", "meta-data/instance-id", **{"X-aws-ec2-metadata-token": token}))
"""


def test_metadata_is_at_aws_s_address(cloud: Cloud, box: Box) -> None:
    done = box.ssh().run("python3 -", sent=ASKS_FOR_ITS_METADATA.encode())
    assert done.stdout.decode().strip() == box.instance, done.stderr


def test_a_stop_is_an_orderly_shutdown(cloud: Cloud, box: Box) -> None:
    ssh = box.ssh()
    ssh.run("sudo tee /etc/systemd/system/save.service", sent=SAVES_WHEN_STOPPED)
    ssh.says("sudo systemctl start save")
    cloud.ec2.stop_instances(InstanceIds=[box.instance])
    cloud.wait(box.instance, "stopped")
    assert left_of(box.instance) == []
    cloud.ec2.start_instances(InstanceIds=[box.instance])
    cloud.wait(box.instance, "running")
    assert box.ssh().says("sudo cat /root/saved") == "saved"


def test_runcmd_runs_once_and_bootcmd_at_every_boot(cloud: Cloud, key: KeyFile) -> None:
    box = start_box(
        cloud,
        key,
        cloud_config="bootcmd: ['echo booted >> /root/boots']\nruncmd: ['echo ran >> /root/ran']\n",
    )
    box.ssh().says("cloud-init status --wait")
    ssh = box.restart()
    ssh.says("cloud-init status --wait")
    assert ssh.says("sudo cat /root/boots /root/ran").split() == ["booted", "booted", "ran"]


def test_terminating_leaves_nothing_on_the_host(cloud: Cloud, box: Box) -> None:
    box.ssh()
    cloud.ec2.terminate_instances(InstanceIds=[box.instance])
    cloud.wait(box.instance, "terminated")
    assert left_of(box.instance) == []
    assert not cloud.machine_folder(box.instance).exists()


def test_each_machine_has_its_own_loopback(cloud: Cloud, box: Box) -> None:
    ssh = box.ssh()
    port = int(cloud.endpoint.rpartition(":")[2])
    reach = f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'"
    assert ssh.run(reach).returncode != 0, "the host's loopback is not the box's"
    through = f"curl -s -o /dev/null -w '%{{http_code}}' -x http://127.0.0.1:3128 --noproxy '' http://127.0.0.1:{port}/"
    assert ssh.says(through) == "403", "and no proxy leads there"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = listener.getsockname()[1]
        ssh.says(f"(python3 -m http.server -b 127.0.0.1 {theirs} >/dev/null 2>&1 &)")
        wait_until(lambda: ssh.run(f"curl -sf --noproxy '*' http://127.0.0.1:{theirs}/").returncode == 0)


def test_a_tunnel_reaches_the_boxs_loopback(cloud: Cloud, box: Box) -> None:
    ssh = box.ssh()
    ssh.says("(python3 -m http.server -d /etc -b 127.0.0.1 8888 >/dev/null 2>&1 &)")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    forward = ("-N", "-L", f"127.0.0.1:{port}:127.0.0.1:8888", "-o", "ExitOnForwardFailure=yes")
    tunnel = subprocess.Popen(ssh.command(options=forward), stdin=subprocess.DEVNULL)
    try:
        fetch = ["curl", "-sf", "--noproxy", "*", f"http://127.0.0.1:{port}/hostname"]
        wait_until(lambda: subprocess.run(fetch, capture_output=True).stdout.decode().strip() == box.instance)
    finally:
        tunnel.terminate()
        tunnel.wait()


def test_apt_and_pip_work_as_on_the_host(box: Box) -> None:
    ssh = box.ssh()
    update = ssh.run("sudo apt-get -q update && sudo apt-get -q -y install hello")
    if b"Could not resolve" in update.stdout + update.stderr or b"Failed to fetch" in update.stderr:
        pytest.skip("this host reaches no Debian mirror")
    assert update.returncode == 0, update.stderr
    assert ssh.says("hello") == "Hello, world!"
    assert ssh.run("python3 -m venv v && v/bin/pip install -q uv && v/bin/uv --version").returncode == 0


def test_the_security_group_decides_who_reaches_ssh(cloud: Cloud, key: KeyFile) -> None:
    box = start_box(cloud, key)
    ssh = box.ssh()
    group = cloud.see(box.instance)["SecurityGroups"][0]["GroupId"]
    rules = cloud.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    cloud.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=rules)
    assert ssh.run("true").returncode == 255
    cloud.admit(group, "127.0.0.0/8")
    assert ssh.run("true").returncode == 0


def test_a_cut_network_stalls_transfers_and_loses_nothing(cloud: Cloud, box: Box) -> None:
    ssh = box.ssh()
    counting = subprocess.Popen(
        ssh.command("for i in $(seq 30); do echo $i; sleep 0.05; done"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with counting:
        assert counting.stdout is not None
        assert counting.stdout.readline() == "1\n"
        cloud.http("POST", "/embedded/network", {"instance": box.instance, "cut": True})
        time.sleep(2.0)  # all of it has been said in the box by now
        assert counting.poll() is None
        assert cloud.state(box.instance) == "running"
        cloud.http("POST", "/embedded/network", {"instance": box.instance, "cut": False})
        assert counting.stdout.read().split() == [str(n) for n in range(2, 31)]
    assert counting.returncode == 0


def test_a_box_survives_a_killed_daemon(nspawn: None, key: KeyFile) -> None:
    home = new_home()
    with leashed(home):
        cloud = Cloud(home)
        cloud.empty()
        box = start_box(cloud, key)
        box.ssh().says("echo kept > file; sync")
        killed = daemon.status(home)
        assert killed is not None
        os.kill(killed.pid, signal.SIGKILL)
        wait_until(lambda: daemon.status(home) is None)
        assert left_of(box.instance), "the machine runs on, an orphan"
        daemon.start(home, POLICY)
        assert box.ssh().says("cat file") == "kept"
        daemon.stop(home)
        assert left_of(box.instance) == []


def test_killed_tests_leave_nothing_behind(nspawn: None, tmp_path: Path) -> None:
    """Not by their own clean-up, which a kill -9 takes away."""
    root = ROOT
    tests = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=root, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with tests:
        assert tests.stdout is not None
        home, instance = tests.stdout.readline().split()
        assert left_of(instance)
        tests.kill()
    wait_until(lambda: left_of(instance) == [] and not Path(home).exists(), seconds=60)


KILLED = """
import sys, time
from pathlib import Path
from testbed.cloud import Cloud, make_key
from testbed.box import start_box
from tests.real_machine.conftest import new_home
from testbed.leash import leashed

home = new_home()
with leashed(home):
    cloud = Cloud(home)
    cloud.empty()
    box = start_box(cloud, make_key(Path(sys.argv[1])))
    print(home, box.instance, flush=True)
    time.sleep(600)
"""
