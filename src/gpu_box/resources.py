"""Locates `infra/`, `remote/` and `config.example.yaml` in a checkout or in the installed wheel."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

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
    """A file of infra/: templates and policies for AWS."""
    return _root() / "infra" / name


@cache
def gpu_table() -> dict[str, Any]:
    """infra/gpus.yaml."""
    import yaml

    # The C parser takes a tenth of the time; a build of PyYAML without libyaml lacks it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    table: dict[str, Any] = yaml.load(infra("gpus.yaml").read_text(encoding="utf-8"), Loader=loader)
    return table


def local_policies() -> list[Path]:
    """IAM policies of the embedded cloud's user, who may create roles, as in an account of their own."""
    return [infra("operator-policy.json"), infra("operator-roles.json")]


def remote() -> Path:
    """The folder of code that runs on the box."""
    return _root() / "remote"


def example_config() -> Path:
    return _root() / "config.example.yaml"
