"""An instance that AWS accepts and that fails while it is `pending`: it ends terminated, or stopped again.

Codes and messages are those of "StateReason" (EC2 API reference) and of public reports: a failed launch ends
in `terminated` by way of `shutting-down`, a failed start in `stopped` (EC2 User Guide, "Instance terminates
immediately").
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from local_aws.faults import ANY, LaunchFailure, weather

_MESSAGES = {
    "Client.InternalError": "Client error on launch",  # aws/karpenter-provider-aws#1407
    "Client.InvalidKMSKey.InvalidState": "The KMS key provided is in an incorrect state",  # cloud-cml#8
    "Client.VolumeLimitExceeded": "Volume limit exceeded",
    "Server.InsufficientInstanceCapacity": "Insufficient capacity to satisfy instance request",
    "Server.InternalError": "Internal error on launch",  # jtriley/StarCluster#288
}


def strike(instance: Any) -> LaunchFailure | None:
    """The failure of this instance at the end of `pending`; counts it down."""
    failures = weather().launch_failures
    for index, failure in enumerate(failures):
        if failure.zone in (ANY, instance.placement.zone):
            if failure.times == 1:
                del failures[index]
            elif failure.times > 1:
                failures[index] = replace(failure, times=failure.times - 1)
            return failure
    return None


def message(failure: LaunchFailure) -> str:
    return f"{failure.code}: {_MESSAGES.get(failure.code, 'Launch failed')}"
