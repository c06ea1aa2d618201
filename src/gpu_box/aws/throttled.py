"""Patience with AWS's limits of requests, which all users of an account share.

The SDK gives up after six attempts, about 15 seconds. That is too soon for a team: EC2 accepts five
RunInstances at once and then two a second for the whole account and region, and 100 calls of most other
kinds ("Request throttling for the Amazon EC2 API", EC2 Developer Guide).
"""

from __future__ import annotations

import random
import threading
import time
from typing import Any

CODES = (
    "RequestLimitExceeded",
    "RequestThrottled",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
)
PATIENCE_S = 120.0  # since the first refusal; after it, the SDK decides
_MOST_S = 8.0  # between two attempts
_given_up = threading.Event()
_SINCE = "gpu_box_throttled_since"  # in the request's context, which all attempts share


def be_patient(client: Any) -> None:
    _given_up.clear()
    client.meta.events.register_first("needs-retry", _delay)


def give_up() -> None:
    """After Ctrl-C: threads that wait here would keep the process."""
    _given_up.set()


def _delay(response: Any, attempts: int, request_dict: dict[str, Any], **_: Any) -> float | None:
    """Seconds until the next attempt, at random, so that many users do not come at once; None: not throttled.

    A handler of botocore's `needs-retry` event; its first answer counts. response: (HTTP response, parsed),
    or None if the connection broke.
    """
    code = response[1].get("Error", {}).get("Code") if response else None
    if code not in CODES or _given_up.is_set():
        return None
    now = time.monotonic()
    since = request_dict["context"].setdefault(_SINCE, now)
    if now - since > PATIENCE_S:
        return None
    return random.random() * min(2.0 ** (attempts - 1), _MOST_S)
