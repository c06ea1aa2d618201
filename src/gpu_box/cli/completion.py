"""Shell completion: fast, silent on errors."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import typer


def box_names(context: typer.Context, incomplete: str) -> list[str]:
    """The boxes that this laptop knows, and those of the account if AWS answers quickly."""
    from gpu_box.box.names import here

    names = set(here())
    with suppress(Exception):
        names |= set(_in_aws(context))
        _note(context, names)
    return sorted(name for name in names if name.startswith(incomplete))


def _in_aws(context: typer.Context) -> list[str]:
    """Uses --config and --local of the line typed so far; a stopped embedded cloud is not started."""
    from gpu_box.aws.client import Cloud
    from gpu_box.box import names
    from gpu_box.config.read import load
    from gpu_box.store.files import data_home

    config = load(context.params.get("config"), name=None)
    if context.params.get("local"):
        from gpu_box.cli import local_cloud
        from gpu_box.cli.context import enter_embedded_cloud

        if not local_cloud.status().running:
            return []
        enter_embedded_cloud()
        config = replace(config, profile=None)
    return names.in_aws(Cloud(config), data_home() / "boxes.json")


def _note(context: typer.Context, names: set[str]) -> None:
    from gpu_box.cli import known_names
    from gpu_box.config import place

    typed = context.params.get("config")
    read = typed or place.find()
    known_names.note(names, config=str(typed) if typed else None, read=str(read.absolute()) if read else None)


def instance_types(incomplete: str) -> list[str]:
    from gpu_box.aws.prices.catalogue import gpu_types

    return [name for name in gpu_types() if name.startswith(incomplete)]


def job_names(context: typer.Context, incomplete: str) -> list[str]:
    """The box's jobs as this laptop last saw them; the box is not asked."""
    from gpu_box.config.read import load
    from gpu_box.store import job_names as known

    asked = context.find_root().params
    with suppress(Exception):
        box = load(asked.get("config"), name=asked.get("name")).name
        return [name for name in known.names(box) if name.startswith(incomplete)]
    return []
