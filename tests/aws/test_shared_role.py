"""The deadlines' IAM role is shared by a region's boxes: `down` of one never leaves another without it."""

from __future__ import annotations

from collections.abc import Callable

from gpu_box.aws import deadline, tags
from gpu_box.box import find

from .conftest import Laptop, Owner


def policies(owner: Owner, mine: Laptop) -> list[str]:
    listed = owner("iam").list_role_policies(RoleName=tags.role_name(mine.cloud.region))
    return list(listed["PolicyNames"])


def test_the_role_stays_while_a_schedule_uses_it_and_goes_with_the_last(
    laptop: Callable[..., Laptop], owner: Owner
) -> None:
    """Also for a box whose instance is not seen: launched meanwhile, or relaunched by AWS without tags."""
    first, second = laptop(), laptop(name="second")
    first.up()
    second.up()
    instance = second.observe().live[0]
    owner("ec2").delete_tags(Resources=[instance.id], Tags=[{"Key": "gpu-box:name"}])
    first.down()
    assert policies(owner, second)
    again = [{"Key": "gpu-box:name", "Value": "second"}]
    owner("ec2").create_tags(Resources=[instance.id], Tags=again)
    assert laptop(name="second").down().nothing_left
    assert deadline.read_role(first.cloud) == (None, "")


def test_an_emptied_role_may_stop_boxes_again_after_the_next_up(
    laptop: Callable[..., Laptop], owner: Owner
) -> None:
    mine = laptop()
    mine.up()
    mine.stop()
    [name] = policies(owner, mine)
    owner("iam").delete_role_policy(RoleName=tags.role_name(mine.cloud.region), PolicyName=name)
    laptop().up()
    assert policies(owner, mine) == [name]


def test_a_role_that_is_gone_is_made_again(laptop: Callable[..., Laptop], owner: Owner) -> None:
    mine = laptop()
    mine.up()
    mine.stop()
    [name] = policies(owner, mine)
    iam, role = owner("iam"), tags.role_name(mine.cloud.region)
    iam.delete_role_policy(RoleName=role, PolicyName=name)
    iam.delete_role(RoleName=role)
    laptop().up()
    assert policies(owner, mine) == [name]
    assert find.observe_box(mine.cloud).deadline is not None
