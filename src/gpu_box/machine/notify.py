"""Where the box sends its notices: ~/.gpu-box/notify.json on it, where the config names a webhook."""

from __future__ import annotations

import json

from gpu_box.config import Config

PLACE = ".gpu-box", "notify.json"


def settings(config: Config) -> bytes:
    """What that file is to hold; empty where no webhook is named."""
    if config.notify.webhook is None:
        return b""
    told = {"box": config.name, "webhook": config.notify.webhook, "format": config.notify.format}
    return json.dumps({key: value for key, value in told.items() if value}).encode()
