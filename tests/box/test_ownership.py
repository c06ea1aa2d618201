"""In a shared account no user stops, changes or removes another's box by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gpu_box.aws.act import act
from gpu_box.aws.security_group import ssh_permission
from gpu_box.aws.steps.network import _change_rules
from gpu_box.box import image, keep, preview, resize, stop
from gpu_box.cli.main import main
from gpu_box.config.model import Network
from gpu_box.errors import CloudError
from gpu_box.model.observed import BAKED, InstanceState, Observed, SecurityGroup
from gpu_box.plan.ownership import AnothersBox, other_owner
from gpu_box.plan.steps import CreateSecurityGroup

from ..aws.conftest import Laptop, Owner

CHANGES: dict[str, Callable[[Laptop], object]] = {
    "up": lambda bob: bob.up(),
    "plan": lambda bob: preview.preview(bob.cloud),
    "stop": lambda bob: bob.stop(),
    "down": lambda bob: bob.down(),
    "resize": lambda bob: resize.resize(bob.cloud, "g4dn.2xlarge", bob.report),
    "bake": lambda bob: image.begin(bob.cloud, BAKED, bob.report),
    "extend": lambda bob: keep.extend(bob.cloud, timedelta(hours=1), bob.report),
}


@pytest.mark.parametrize("command", CHANGES)
def test_another_user_s_box_of_the_same_name_is_not_touched(
    laptop: Callable[..., Laptop], command: str
) -> None:
    ada, bob = laptop(owner="ada"), laptop(owner="bob")
    ada.up()
    before, written = ada.observe(), []
    for service in ("ec2", "iam", "scheduler"):
        events = bob.cloud.client(service).meta.events
        events.register("before-call", lambda model, **_: written.append(model.name))
    with pytest.raises(AnothersBox, match="ada has a box named") as refused:
        CHANGES[command](bob)
    assert "`owner: ada` if that is you" in str(refused.value)
    assert all(operation.startswith(("Describe", "Get", "List")) for operation in written), written
    assert ada.observe() == before


def test_with_the_user_s_consent_it_is_stopped_all_the_same(laptop: Callable[..., Laptop]) -> None:
    laptop(owner="ada").up()
    bob = laptop(owner="bob", any_owner=True)
    stopped = bob.stop().instance
    assert stopped is not None and stopped.state is InstanceState.STOPPED
    assert stopped.stop_asked is not None and stopped.stop_asked.by == "bob"


def test_a_box_that_was_only_begun_has_its_owner_too(laptop: Callable[..., Laptop], owner: Owner) -> None:
    ada = laptop(owner="ada")
    observed, vpc = ada.observe(), owner("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    act(ada.cloud, [CreateSecurityGroup(vpc_id=vpc, generation="g", ssh_from=())], ada.report, observed)
    with pytest.raises(AnothersBox):
        laptop(owner="bob").up()


def test_a_resource_without_an_owner_is_not_another_user_s() -> None:
    group = SecurityGroup(id="sg-1", generation="g", owner="")
    seen = Observed(region="us-east-1", group=group)
    assert other_owner(seen, "bob") == ""
    assert other_owner(replace(seen, group=replace(group, owner="bob")), "bob") == ""
    assert other_owner(replace(seen, group=replace(group, owner="ada")), "bob") == "ada"


@pytest.mark.parametrize("command", [["stop"], ["down"], ["resize", "g4dn.2xlarge"]])
def test_the_command_refuses_it_and_asks_with_force(
    laptop: Callable[..., Laptop], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    ada = laptop(owner="ada")
    ada.up()
    config = tmp_path / "config.yaml"
    config.write_text(f"name: {ada.config.name}\nregion: us-east-1\nowner: bob\n")
    as_bob = ["--config", str(config), *command]
    assert main(as_bob) == 1
    assert f"ada has a box named {ada.config.name} here: nothing was changed" in capsys.readouterr().err
    assert main([*as_bob, "--force"]) == 2, "there is no terminal to ask on"
    assert f"The box {ada.config.name} belongs to ada, not to you." in capsys.readouterr().err
    running = ada.observe().instance
    assert running is not None and running.state is InstanceState.RUNNING and running.type == "g4dn.xlarge"


def test_with_force_and_consent_it_is_removed(laptop: Callable[..., Laptop], tmp_path: Path) -> None:
    ada = laptop(owner="ada")
    ada.up()
    config = tmp_path / "config.yaml"
    config.write_text(f"name: {ada.config.name}\nregion: us-east-1\nowner: bob\n")
    assert main(["--config", str(config), "--yes", "down", "--force"]) == 0
    assert laptop(owner="ada").observe().nothing_left


def test_the_image_of_another_owner_is_neither_removed_nor_launched_from(
    laptop: Callable[..., Laptop], owner: Owner
) -> None:
    """`down --keep-image` leaves an image: the only copy of a disk."""
    ada, bob = laptop(owner="ada"), laptop(owner="bob")
    ada.up()
    image.end(ada.cloud, image.begin(ada.cloud, BAKED, ada.report), ada.report)
    stop.bring_down(ada.cloud, ada.report, keep_images=True)
    for change in (bob.down, bob.up, lambda: preview.preview(bob.cloud)):
        with pytest.raises(AnothersBox):
            change()
    left = laptop(owner="ada").observe()
    assert [one.owner for one in left.images] == ["ada"] and left.live == ()


@pytest.mark.parametrize("kind", ["volume", "key pair"])
def test_what_another_owner_left_is_not_removed(
    laptop: Callable[..., Laptop], owner: Owner, kind: str
) -> None:
    ada, bob = laptop(owner="ada"), laptop(owner="bob")
    of_ada = [{"Key": "gpu-box:name", "Value": ada.config.name}, {"Key": "gpu-box:owner", "Value": "ada"}]
    ec2 = owner("ec2")
    if kind == "volume":
        tagged = [{"ResourceType": "volume", "Tags": of_ada}]
        ec2.create_volume(AvailabilityZone="us-east-1a", Size=10, TagSpecifications=tagged)
    else:
        tagged = [{"ResourceType": "key-pair", "Tags": of_ada}]
        ec2.create_key_pair(KeyName="hers", TagSpecifications=tagged)
    with pytest.raises(AnothersBox):
        bob.down()
    seen = ada.observe()
    assert len(seen.volumes) + (seen.key_pair is not None) == 1


def test_what_has_the_box_s_name_and_is_not_gpu_box_s_is_named(
    laptop: Callable[..., Laptop], owner: Owner
) -> None:
    mine = laptop()
    owner("ec2").create_key_pair(KeyName=f"gpu-box-{mine.config.name}")
    with pytest.raises(CloudError, match="there is a key pair gpu-box-.* that gpu-box did not create"):
        mine.up()
    owner("ec2").delete_key_pair(KeyName=f"gpu-box-{mine.config.name}")


def test_a_name_that_differs_only_in_case_is_refused_as_aws_does(
    laptop: Callable[..., Laptop], owner: Owner
) -> None:
    mine = laptop()
    name = f"gpu-box-{mine.config.name}".upper()
    owner("ec2").create_security_group(GroupName=name, Description="hers")
    with pytest.raises(CloudError, match=f"there is a security group {name}, and AWS does not tell capital"):
        mine.up()
    owner("ec2").delete_security_group(GroupName=name)


def test_an_address_closed_by_hand_meanwhile_leaves_no_other_one_open(
    laptop: Callable[..., Laptop], owner: Owner
) -> None:
    """EC2 revokes none of a request's rules if one of them is not there, and adds none if one is."""
    first, second = ip_network("203.0.113.7/32"), ip_network("203.0.113.8/32")
    mine = laptop(network=Network(allow_ssh_from=(first, second)))
    group = mine.up().group
    assert group
    owner("ec2").revoke_security_group_ingress(GroupId=group.id, IpPermissions=ssh_permission([first]))
    for change, code, left in (
        (mine.cloud.ec2.revoke_security_group_ingress, "InvalidPermission.NotFound", frozenset[Any]()),
        (mine.cloud.ec2.authorize_security_group_ingress, "InvalidPermission.Duplicate", {first, second}),
    ):
        _change_rules(partial(change, GroupId=group.id), [first, second], code)
        seen = mine.observe().group
        assert seen and seen.ssh_from == left
        if not left:
            owner("ec2").authorize_security_group_ingress(
                GroupId=group.id, IpPermissions=ssh_permission([first])
            )
