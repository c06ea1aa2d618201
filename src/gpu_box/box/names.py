"""Box names for shell completion: this laptop's at once, the account's if AWS answers quickly."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from gpu_box.aws.client import Cloud
from gpu_box.aws.observe import observe_all
from gpu_box.files import read_own_json, write_whole
from gpu_box.machine.ssh import ssh_config
from gpu_box.model.observed import InstanceState
from gpu_box.store.files import GARBAGE

_PATIENCE_S = 1.5  # after Tab
_FRESH_S = 30.0  # how long the cached names are used without asking AWS


def here() -> list[str]:
    """The boxes that this laptop has brought up and not removed; read from local files."""
    return ssh_config.known()


def in_aws(cloud: Cloud, cache: Path) -> list[str]:
    """Every owner's boxes in the config's region; the cached names if AWS takes too long."""
    config = cloud.config
    key = " ".join(
        str(part) for part in (config.profile, config.region, *(os.environ.get(name) for name in _DECIDE))
    )
    at, names = _read(cache).get(key, (0.0, []))
    if not 0 <= time.time() - at < _FRESH_S:
        found: list[list[str]] = []

        def ask() -> None:
            with suppress(Exception):  # completion shows no errors
                found.append(_ask(cloud))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(_PATIENCE_S)
        if found:
            names = found[0]
            with suppress(OSError):
                write_whole(cache, json.dumps({**_read(cache), key: (time.time(), names)}))
    return names


_DECIDE = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")


def _ask(cloud: Cloud) -> list[str]:
    listed = observe_all(cloud)
    return sorted({one.box for one in listed if one.instance.state is not InstanceState.TERMINATED})


def _read(cache: Path) -> dict[str, tuple[float, list[str]]]:
    try:
        data = read_own_json(cache)
        return {str(key): (float(at), [str(name) for name in names]) for key, (at, names) in data.items()}
    except GARBAGE:
        return {}
