"""What the shell offers after Tab: at once, and never an error in the middle of somebody's line."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import typer


def box_names(context: typer.Context, incomplete: str) -> list[str]:
    """Boxes of this laptop, and of the account where AWS answers quickly."""
    from gpu_box.box.names import here

    names = set(here())
    with suppress(Exception):
        names |= set(_in_aws(context))
    return sorted(name for name in names if name.startswith(incomplete))


def _in_aws(context: typer.Context) -> list[str]:
    """context: of what was typed until now: another config, or the embedded cloud, if it runs already."""
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


def instance_types(incomplete: str) -> list[str]:
    from gpu_box.aws.prices.catalogue import gpu_types

    return [name for name in gpu_types() if name.startswith(incomplete)]
