"""Patience with AWS's limits of requests."""

from __future__ import annotations

from typing import Any

import pytest

from gpu_box.aws import throttled
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.config.model import Config

REFUSED = (None, {"Error": {"Code": "RequestLimitExceeded"}})


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_ends_the_patience() -> None:
    def delay() -> float | None:
        asked: dict[str, Any] = {"context": {}}
        return throttled._delay(REFUSED, 1, asked)

    Cloud(Config(region="us-east-1")).make_clients("ec2")
    assert delay() is not None
    with pytest.raises(KeyboardInterrupt):
        side_by_side(_interrupt, lambda: None)
    assert delay() is None
    Cloud(Config(region="us-east-1")).make_clients("ec2")  # the next command
    assert delay() is not None


def test_the_pauses_grow_but_stay_short() -> None:
    for attempts in (1, 5, 50):
        pause = throttled._delay(REFUSED, attempts, {"context": {}})
        assert pause is not None
        assert 0 <= pause <= min(2.0 ** (attempts - 1), 8.0)


def test_other_errors_are_left_to_the_sdk() -> None:
    assert throttled._delay((None, {"Error": {"Code": "InternalError"}}), 1, {"context": {}}) is None
    assert throttled._delay(None, 1, {"context": {}}) is None
