"""Ask AWS again and again until something has happened, and delete what is still in use for a while."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws.client import Cloud
from gpu_box.aws.errors import code_of

# Codes of what is gone already, by their ends ("InvalidVolume.NotFound", "InvalidPlacementGroup.Unknown").
GONE = ("NotFound", ".Unknown", "InvalidAMIID.Unavailable")


def attempts(timeout_s: float, *, every_s: float, at_most_s: float | None = None) -> Iterator[float]:
    """Yield the seconds waited so far: 0 at once, then after each pause, for the last time after timeout_s.

    every_s: the first pause; each next one is half as long again, up to at_most_s. Without at_most_s, all
    are alike.
    """
    began, pause_s = time.monotonic(), every_s
    while True:
        waited_s = time.monotonic() - began
        yield waited_s
        if waited_s > timeout_s:
            return
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, at_most_s) if at_most_s else pause_s


def delete_when_free(
    cloud: Cloud, operation: str, *, in_use: Collection[str], timeout_s: float, **arguments: Any
) -> None:
    """Call EC2's operation until it succeeds or the thing is gone.

    in_use: error codes after which it is tried again. Raises ClientError: the last of these after timeout_s,
    any other at once.
    """
    refused: ClientError | None = None
    for _ in attempts(timeout_s, every_s=1.0):
        try:
            getattr(cloud.ec2, operation)(**arguments)
            return
        except ClientError as error:
            if code_of(error).endswith(GONE):
                return
            if code_of(error) not in in_use:
                raise
            refused = error
    assert refused is not None, "there is at least one attempt"
    raise refused
