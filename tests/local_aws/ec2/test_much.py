"""A cloud in which much was made, and is shown for an hour after its end, answers as fast as an empty one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from testbed.cloud import Cloud

from local_aws.ec2.models import EC2


class ByKeyOnly(dict[str, Any]):
    def _refused(self, *_: object) -> NoReturn:
        raise AssertionError("it goes through all of them")

    copy = items = values = __iter__ = _refused  # type: ignore[assignment]


@pytest.fixture
def ec2() -> EC2:
    return EC2("us-east-1", "123456789012")


def test_the_tags_of_one_resource_are_found_without_a_look_at_all(ec2: EC2) -> None:
    for id_ in ("i-1", "i-2"):
        ec2.create_tags([id_], {"Name": f"of {id_}", "of": "mine"})
    ec2.tags = ByKeyOnly(ec2.tags)
    found = ec2.describe_tags({"resource-id": ["i-2", "i-3"], "key": ["Na*"]})
    assert found == [
        {"resource_id": "i-2", "key": "Name", "value": "of i-2", "resource_type": "instance"},
    ]


def test_the_instances_are_listed_without_copies(ec2: EC2) -> None:
    one = SimpleNamespace(id="i-1", applies=lambda filters: True)

    class Reservation(SimpleNamespace):
        def __copy__(self) -> NoReturn:
            raise AssertionError("a copy")

    ec2.reservations["r-1"] = Reservation(instances=[one])
    assert ec2.all_instances() == [one]


def test_tags_are_found_by_the_beginning_of_an_id_too(cloud: Cloud) -> None:
    instance = cloud.run()
    cloud.ec2.create_tags(Resources=[instance], Tags=[{"Key": "Name", "Value": "mine"}])
    for wanted in (instance, "i-*", f"{instance[:-1]}?"):
        [tag] = cloud.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [wanted]}])["Tags"]
        assert (tag["ResourceId"], tag["Value"]) == (instance, "mine")
