"""Deletes resources that may stay in use for a while."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws.client import Cloud
from gpu_box.aws.errors import code_of
from gpu_box.polling import attempts

# Ends of the codes for missing resources ("InvalidVolume.NotFound", "InvalidPlacementGroup.Unknown").
GONE = ("NotFound", ".Unknown", "InvalidAMIID.Unavailable")


def delete_when_free(
    cloud: Cloud, operation: str, *, in_use: Collection[str], timeout_s: float, **arguments: Any
) -> None:
    """Call EC2's operation until it succeeds or the resource is gone.

    in_use: error codes that are retried. Raises ClientError: one of these after timeout_s, any other at once.
    """
    refused: ClientError | None = None
    for _ in attempts(timeout_s, every_s=1.0):
        try:
            getattr(cloud.ec2, operation)(**arguments)
            return cloud.made.forget(named(arguments))
        except ClientError as error:
            if code_of(error).endswith(GONE):
                return cloud.made.forget(named(arguments))
            if code_of(error) not in in_use:
                raise
            refused = error
    assert refused is not None, "there is at least one attempt"
    raise refused


def named(arguments: dict[str, Any]) -> list[str]:
    """The ids in a delete's arguments, each an id, a name or a list of ids."""
    return [id_ for value in arguments.values() for id_ in (value if isinstance(value, list) else [value])]
