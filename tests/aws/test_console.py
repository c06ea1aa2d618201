"""Why a box stopped, from a console that AWS shows late."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from testbed.cloud import wait_until

from gpu_box.aws.console import read_console_record

from .conftest import Laptop, Weather

RECORD = {"layer": "watcher", "reason": "idle 30 min", "wall": datetime.now(UTC).timestamp()}


@pytest.mark.parametrize(("instance_type", "at_once"), [("g4dn.xlarge", True), ("m4.large", False)])
def test_it_is_read_as_soon_as_aws_shows_it(
    laptop: Callable[..., Laptop], weather: Weather, cloud_home: Path, instance_type: str, at_once: bool
) -> None:
    weather(delays={"console": 1.5})
    mine = laptop(instance_types=(instance_type,))
    found = mine.up().instance
    assert found is not None
    console = cloud_home / "embedded" / "machines" / found.id / "console.log"
    console.write_text(f"[  1.0] gpu-box-stopped {json.dumps(RECORD)}\n")
    mine.stop()
    assert (read_console_record(mine.cloud, found.id) is not None) is at_once
    wait_until(lambda: read_console_record(mine.cloud, found.id) is not None)
