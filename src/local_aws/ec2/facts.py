"""The metadata of an instance: item by path, with EC2's names ("Instance metadata categories", EC2 User
Guide). Items that no program here reads are left out.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from local_aws.ec2 import interruption
from local_aws.ec2.extra import extra


def facts(instance: Any) -> dict[str, str]:
    items = {
        "ami-id": instance.image_id,
        "instance-id": instance.id,
        "instance-life-cycle": instance.lifecycle or "on-demand",
        "instance-type": instance.instance_type,
        "placement/availability-zone": instance.placement.zone,
        "placement/region": instance.region_name,
        "public-ipv4": instance.public_ip or "",
    }
    mark = extra(instance)
    if mark.noticed is not None and mark.taken is not None:
        action = interruption.action_of(instance.ec2_backend, instance)
        items["spot/instance-action"] = json.dumps({"action": action, "time": _stamp(mark.taken)})
        if action == "terminate":
            items["spot/termination-time"] = _stamp(mark.taken)
        # AWS sends the rebalance recommendation no later than the notice, often earlier.
        items["events/recommendations/rebalance"] = json.dumps({"noticeTime": _stamp(mark.noticed)})
    return items


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
