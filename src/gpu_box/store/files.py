"""Where gpu-box keeps what is its own on this laptop."""

from __future__ import annotations

import os
import re
from pathlib import Path


def data_home() -> Path:
    """$GPU_BOX_HOME, or the user's data folder (XDG base directories, where a relative path is ignored)."""
    own = os.environ.get("GPU_BOX_HOME")
    if own:
        return Path(own)
    data = Path(os.environ.get("XDG_DATA_HOME", "")).expanduser()
    return (data if data.is_absolute() else Path.home() / ".local" / "share") / "gpu-box"


def file_of_box(kind: str, *, cloud: str, profile: str | None, region: str, box: str) -> Path:
    """cloud: the host and port that EC2 answers on: what is so in another cloud is nothing to this one."""
    parts = [re.sub(r"[^A-Za-z0-9.-]", "_", part) for part in (cloud, profile or "default", region, box)]
    return data_home().joinpath(kind, *parts[:-1], f"{parts[-1]}.json")
