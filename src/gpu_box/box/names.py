"""The boxes that a shell offers after Tab: this laptop's at once, the account's if AWS is quick."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from gpu_box.aws.client import Cloud
from gpu_box.aws.observe import observe_all
from gpu_box.files import write_whole
from gpu_box.machine.ssh import ssh_config
from gpu_box.model.observed import InstanceState

_PATIENCE_S = 1.5  # of somebody who has pressed Tab
_FRESH_S = 30.0  # the next Tabs ask nobody


def here() -> list[str]:
    """Those that this laptop has brought up and not taken down; asks nobody."""
    return ssh_config.known()


def in_aws(cloud: Cloud, cache: Path) -> list[str]:
    """Those in the config's region, whoever made them; what was known before where AWS takes too long."""
    config = cloud.config
    key = " ".join(
        str(part) for part in (config.profile, config.region, *(os.environ.get(name) for name in _DECIDE))
    )
    at, names = _read(cache).get(key, (0.0, []))
    if not 0 <= time.time() - at < _FRESH_S:
        found: list[list[str]] = []

        def ask() -> None:
            with suppress(Exception):  # no network, no credentials: nobody wants to read of it here
                found.append(_ask(cloud))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(_PATIENCE_S)
        if found:
            names = found[0]
            _write(cache, {**_read(cache), key: (time.time(), names)})
    return names


_DECIDE = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")


def _ask(cloud: Cloud) -> list[str]:
    listed = observe_all(cloud)
    return sorted({one.box for one in listed if one.instance.state is not InstanceState.TERMINATED})


def _read(cache: Path) -> dict[str, tuple[float, list[str]]]:
    try:
        told = json.loads(cache.read_text(encoding="utf-8"))
        return {str(key): (float(at), [str(name) for name in names]) for key, (at, names) in told.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(cache: Path, known: dict[str, tuple[float, list[str]]]) -> None:
    with suppress(OSError):
        write_whole(cache, json.dumps(known))
