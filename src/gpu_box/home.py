"""Where gpu-box keeps what is its own on this laptop."""

from __future__ import annotations

import os
from pathlib import Path


def data_home() -> Path:
    """$GPU_BOX_HOME, or the user's data folder (XDG base directories)."""
    own = os.environ.get("GPU_BOX_HOME")
    if own:
        return Path(own)
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "gpu-box"
