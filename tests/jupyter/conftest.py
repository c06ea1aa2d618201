"""A home folder as on the box, with a kernel of this Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    kernel = tmp_path / ".gpu-box/jupyter/share/kernels/python3"
    kernel.mkdir(parents=True)
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
    }
    (kernel / "kernel.json").write_text(json.dumps(spec))
    (tmp_path / "work" / "results").mkdir(parents=True)
    return tmp_path
