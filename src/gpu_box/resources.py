"""Where `infra/`, `remote/` and `config.example.yaml` are: in a checkout, or inside the installed wheel."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from gpu_box.errors import GpuBoxError


@cache
def _root() -> Path:
    package = Path(__file__).resolve().parent
    for candidate in (package / "_data", package.parents[1]):
        if (candidate / "config.example.yaml").is_file() and (candidate / "infra").is_dir():
            return candidate
    raise GpuBoxError(
        "gpu-box is installed without its data files",
        where=str(package),
        remedy="Install it again: pip install --force-reinstall gpu-box",
    )


def infra(name: str) -> Path:
    """A file of infra/: what AWS is told."""
    return _root() / "infra" / name


def remote() -> Path:
    """The folder of what runs on the box."""
    return _root() / "remote"


def example_config() -> Path:
    return _root() / "config.example.yaml"
