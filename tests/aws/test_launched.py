"""The attributes of the resources that `up` creates: security settings and options."""

from __future__ import annotations

import stat
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from gpu_box.aws import deadline, tags

from .conftest import Laptop, Owner


def test_the_instance_is_locked_as_the_readme_says(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    found = mine.up().instance
    assert found is not None
    ec2 = mine.cloud.ec2
    [raw] = ec2.describe_instances(InstanceIds=[found.id])["Reservations"][0]["Instances"]
    options = raw["MetadataOptions"]
    assert options["HttpTokens"] == "required"
    assert options["HttpPutResponseHopLimit"] == 1
    assert "IamInstanceProfile" not in raw
    [root] = raw["BlockDeviceMappings"]
    assert root["Ebs"]["DeleteOnTermination"]
    [disk] = ec2.describe_volumes(VolumeIds=[root["Ebs"]["VolumeId"]])["Volumes"]
    assert (disk["Encrypted"], disk["VolumeType"]) == (True, "gp3")


def test_the_deadline_s_role_may_stop_the_box_even_after_an_up_that_was_cut(
    laptop: Callable[..., Laptop], owner: Owner
) -> None:
    """Interrupted after the role was created: the next run finds it, and adds its policy."""
    mine = laptop()
    deadline.create_role(mine.cloud)
    mine.up()
    iam, name = owner("iam"), tags.role_name(mine.cloud.region)
    [policy] = iam.list_role_policies(RoleName=name)["PolicyNames"]
    document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    assert document["Statement"][0]["Action"] == "ec2:StopInstances"


def test_the_private_key_is_ed25519_and_stays_here(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    mine.up()
    path = mine.config.ssh.key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert isinstance(load_ssh_private_key(path.read_bytes(), password=None), Ed25519PrivateKey)
    pair = mine.observe().key_pair
    assert pair is not None
    assert pair.public_key.split()[:2] == mine.public_key.split()[:2]
