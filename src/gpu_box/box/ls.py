"""`ls`: every owner's boxes in the region."""

from __future__ import annotations

from gpu_box.aws.client import Cloud
from gpu_box.aws.observe import observe_every_box
from gpu_box.aws.prices.prices import price_reader
from gpu_box.model.observed import InstanceState
from gpu_box.model.results import Row


def list_boxes(cloud: Cloud) -> list[Row]:
    """All but terminated ones. Raises CloudError."""
    listed, price_of = observe_every_box(cloud), price_reader(cloud)
    return [
        Row(
            box=one.box,
            state=str(one.instance.state),
            type=one.instance.type,
            zone=one.instance.zone,
            instance=one.instance.id,
            since=one.instance.launched,
            owner=one.instance.owner,
            usd_hour=price_of(one.instance).hour if one.instance.state.bills else None,
            notices=tuple(map(str, one.instance.unreadable)),
            listed=one,
        )
        for one in listed
        if one.instance.state is not InstanceState.TERMINATED
    ]
