"""Machines follow their instances through every change."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from testbed.cloud import Cloud, KeyFile, wait_until
from testbed.ssh import reach

from local_aws.machines.process import census


def test_a_running_instance_is_reached_at_its_own_address_and_published_port(
    cloud: Cloud, key: KeyFile
) -> None:
    instance = cloud.run_with_machine(key)
    ssh = reach(cloud, instance, key)
    assert ssh.address.startswith("127.77.")
    assert ssh.says("echo $HOME") == str(cloud.machine_folder(instance) / "home")


def test_stop_and_start_keep_the_disk_and_the_host_key_at_a_new_address(cloud: Cloud, key: KeyFile) -> None:
    instance = cloud.run_with_machine(key)
    before = reach(cloud, instance, key)
    host_key = (cloud.machine_folder(instance) / "home/.sshd/ssh_host_ed25519_key.pub").read_text()
    before.says("echo kept > file; (sleep 1000 >/dev/null 2>&1 &)")

    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    assert census.members(instance) == set()
    assert cloud.tag(instance, "gpu-box:ssh-port") is None
    assert before.run("true").returncode == 255

    cloud.ec2.start_instances(InstanceIds=[instance])
    cloud.wait(instance, "running")
    after = reach(cloud, instance, key, host_key=host_key)
    assert after.address != before.address
    assert after.says("cat file") == "kept"


def test_what_is_launched_from_an_image_has_the_disk_as_it_was_and_a_host_key_of_its_own(
    cloud: Cloud, key: KeyFile
) -> None:
    baked = cloud.run_with_machine(key)
    reach(cloud, baked, key).says("echo baked > file; ln -s file link")
    cloud.ec2.stop_instances(InstanceIds=[baked])
    cloud.wait(baked, "stopped")
    image = cloud.ec2.create_image(InstanceId=baked, Name="baked")["ImageId"]
    cloud.ec2.start_instances(InstanceIds=[baked])  # at once: the image shows this moment all the same
    cloud.wait(baked, "running")
    reach(cloud, baked, key).says("echo later > file")
    wait_until(lambda: cloud.ec2.describe_images(ImageIds=[image])["Images"][0]["State"] == "available")

    launched = cloud.run_like(baked, ImageId=image)
    ssh = reach(cloud, launched, key)
    assert ssh.says("cat link") == "baked"
    host_keys = [
        (cloud.machine_folder(one) / "home/.sshd/ssh_host_ed25519_key.pub").read_text()
        for one in (baked, launched)
    ]
    assert host_keys[0] != host_keys[1]
    copies = cloud.machine_folder(baked).parent.with_name("images")
    assert (copies / image / "file").is_file()
    cloud.ec2.deregister_image(ImageId=image)
    wait_until(lambda: not (copies / image).exists())
    assert ssh.says("cat file") == "baked"


def test_terminating_removes_the_machine_and_its_disk(cloud: Cloud, key: KeyFile) -> None:
    instance = cloud.run_with_machine(key)
    reach(cloud, instance, key).says("echo secret > file; (setsid sleep 1000 >/dev/null 2>&1 &)")
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    assert census.members(instance) == set()
    assert not cloud.machine_folder(instance).exists()


def test_a_reboot_ends_what_ran_and_the_machine_answers_again(cloud: Cloud, key: KeyFile) -> None:
    instance = cloud.run_with_machine(key)
    ssh = reach(cloud, instance, key)
    ssh.says("echo kept > file; (setsid sleep 1000 >/dev/null 2>&1 &)")
    cloud.ec2.reboot_instances(InstanceIds=[instance])
    wait_until(lambda: census.members(instance) == set())
    wait_until(lambda: ssh.run("true").returncode == 0)
    assert (ssh.says("cat file"), cloud.state(instance)) == ("kept", "running")


def test_a_reset_of_the_cloud_removes_every_machine(cloud: Cloud, key: KeyFile) -> None:
    instance = cloud.run_with_machine(key)
    reach(cloud, instance, key).says("(setsid sleep 1000 >/dev/null 2>&1 &)")
    cloud.empty()
    wait_until(lambda: not cloud.machine_folder(instance).exists())
    assert census.members(instance) == set()


def test_an_instance_deleted_with_its_stack_loses_its_machine(cloud: Cloud, key: KeyFile) -> None:
    """CloudFormation does not call TerminateInstances: no hook on that call would see it."""
    cloud.ec2.import_key_pair(KeyName="key", PublicKeyMaterial=key.public.encode())
    template = (
        '{"Resources": {"Box": {"Type": "AWS::EC2::Instance", "Properties": '
        f'{{"ImageId": "{cloud.ubuntu()}", "InstanceType": "g4dn.xlarge", "KeyName": "key"}}}}}}}}'
    )
    stacks = cloud.client("cloudformation")
    stacks.create_stack(StackName="stack", TemplateBody=template)
    [reservation] = cloud.ec2.describe_instances()["Reservations"]
    instance = cloud.wait(reservation["Instances"][0]["InstanceId"], "running")
    assert cloud.machine_folder(instance).exists()
    stacks.delete_stack(StackName="stack")
    wait_until(lambda: not cloud.machine_folder(instance).exists())


def test_the_security_group_decides_who_reaches_ssh_even_later(cloud: Cloud, key: KeyFile) -> None:
    instance = cloud.run_with_machine(key, ssh_from="203.0.113.7/32")
    ssh = reach(cloud, instance, key)
    assert ssh.run("true").returncode == 255
    cloud.admit(cloud.see(instance)["SecurityGroups"][0]["GroupId"], "127.0.0.1/32")
    assert ssh.run("true").returncode == 0


def test_an_instance_without_a_key_pair_runs_without_a_machine(cloud: Cloud) -> None:
    instance = cloud.wait(cloud.run(), "running")
    assert cloud.tag(instance, "gpu-box:ssh-port") is None
    assert not cloud.machine_folder(instance).exists()


def test_deleting_the_key_pair_leaves_its_instances_reachable(cloud: Cloud, key: KeyFile) -> None:
    instance = cloud.run_with_machine(key)
    cloud.ec2.delete_key_pair(KeyName="key")
    assert reach(cloud, instance, key).run("true").returncode == 0


def test_two_boxes_do_not_see_each_other(cloud: Cloud, key: KeyFile) -> None:
    first = cloud.run_with_machine(key)
    group = cloud.see(first)["SecurityGroups"][0]["GroupId"]
    second = cloud.wait(cloud.run(KeyName="key", SecurityGroupIds=[group]), "running")
    a, b = reach(cloud, first, key), reach(cloud, second, key)
    assert a.address != b.address
    if shutil.which("tmux"):
        a.says("tmux new-session -d -s mine 'sleep 1000'")
        assert a.says("tmux list-sessions -F '#S'") == "mine"
        assert b.run("tmux list-sessions").returncode != 0
    cloud.ec2.terminate_instances(InstanceIds=[first])
    cloud.wait(first, "terminated")
    assert b.run("true").returncode == 0


def test_the_system_client_refuses_a_machine_with_another_host_key(cloud: Cloud, key: KeyFile) -> None:
    instance = cloud.run_with_machine(key)
    ssh = reach(cloud, instance, key, host_key=key.public)
    done = ssh.run("true")
    assert (done.returncode, b"Host key verification failed" in done.stderr) == (255, True)


def test_a_held_session_ends_when_the_instance_stops(cloud: Cloud, key: KeyFile) -> None:
    instance = cloud.run_with_machine(key)
    ssh = reach(cloud, instance, key)
    with subprocess.Popen(
        ssh.command("echo begun; sleep 1000"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as held:  # fmt: skip
        assert held.stdout is not None
        assert held.stdout.readline() == b"begun\n"
        cloud.ec2.stop_instances(InstanceIds=[instance])
        assert held.wait(timeout=60) == 255


def test_a_cut_network_is_silent_and_comes_back(cloud: Cloud, key: KeyFile) -> None:
    instance = cloud.run_with_machine(key)
    ssh = reach(cloud, instance, key)
    assert cloud.http("POST", "/embedded/network", {"instance": instance, "cut": True})[0] == 200
    assert ssh.run("true", options=("-o", "ConnectTimeout=1")).returncode == 255
    assert cloud.state(instance) == "running"
    cloud.http("POST", "/embedded/network", {"instance": instance, "cut": False})
    assert ssh.run("true").returncode == 0


@pytest.mark.parametrize("word", ["poweroff", "shutdown -h now"])
def test_a_machine_that_powers_itself_off_is_stopped_and_comes_back(
    cloud: Cloud, key: KeyFile, word: str
) -> None:
    instance = cloud.run_with_machine(key)
    reach(cloud, instance, key).run(f"echo kept >kept; {word}")
    seen = cloud.see(cloud.wait(instance, "stopped"))
    assert seen["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    cloud.ec2.start_instances(InstanceIds=[instance])
    cloud.wait(instance, "running")
    assert reach(cloud, instance, key).says("cat kept") == "kept"
