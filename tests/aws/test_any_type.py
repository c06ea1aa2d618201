"""Any instance type of AWS works: infra/gpus.yaml only helps to choose one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpu_box.aws.prices.catalogue import catalogue
from gpu_box.box.preview import preview
from gpu_box.model.observed import InstanceState

from .conftest import Laptop

NEWER = "g6e.4xlarge"  # stands for a type that AWS added after the catalogue was written


@pytest.fixture
def older_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(catalogue().types, NEWER)


@pytest.mark.parametrize("wanted", ["m7i.large", NEWER])
def test_a_type_that_the_catalogue_lacks_is_planned_launched_and_counted(
    laptop: Callable[..., Laptop], older_catalogue: None, wanted: str
) -> None:
    assert wanted not in catalogue().types
    mine = laptop(instance_types=(wanted,))
    planned = preview(mine.cloud)
    assert planned.instance_type == wanted
    assert planned.missing_quota is None
    up = mine.up().instance
    assert up is not None
    assert (up.type, up.state) == (wanted, InstanceState.RUNNING)
    mine.down()


def test_a_type_newer_than_the_catalogue_has_the_price_of_aws_s_list(
    laptop: Callable[..., Laptop], older_catalogue: None
) -> None:
    planned = preview(laptop(instance_types=(NEWER,)).cloud)
    assert planned.prices == "live, today"
    assert planned.usd_hour is not None and planned.usd_hour > 3
