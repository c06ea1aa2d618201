"""The kernels that JupyterLab offers: `python3`, the default, is the project's if it has its own environment,
else the box's; `gpu-box`, which the lesson asks for, is always the box's, with PyTorch and vgg16.

JUPYTER_PATH of jupyter/start.sh names the folder before JupyterLab's own.
"""

import json
from pathlib import Path
from typing import Dict

from setup import records
from setup.desired import PROJECT, PROJECT_READY, ROOT, VENV

FOLDER: Path = ROOT / "jupyter" / "share" / "kernels"


def write() -> None:
    _write(FOLDER / "gpu-box", VENV, "gpu-box (PyTorch, vgg16)")
    if PROJECT_READY.exists():
        _write(FOLDER / "python3", PROJECT, "Python 3 (project)")
    else:
        _write(FOLDER / "python3", VENV, "Python 3")


def _write(folder: Path, venv: Path, name: str) -> None:
    """Format: https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs"""
    spec: Dict[str, object] = {
        "argv": [str(venv / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": name,
        "language": "python",
        "env": {"VIRTUAL_ENV": str(venv), "PATH": "%s:${PATH}" % (venv / "bin")},
    }
    records.write_atomically(folder / "kernel.json", json.dumps(spec, indent=1) + "\n")
