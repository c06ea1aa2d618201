"""A word about boxes that lie stopped for long, under what a command has to say itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gpu_box.cli.context import Options

if TYPE_CHECKING:
    from gpu_box.config import Config

if TYPE_CHECKING:
    from gpu_box.model import Observed


def mention_forgotten(opts: Options, config: Config, observed: Observed) -> None:
    """Of all boxes in the region of `config`."""
    if opts.json:
        return
    from gpu_box.model import Listed
    from gpu_box.view.sweep import forgotten_lines

    own = [Listed(box=config.name, instance=instance) for instance in observed.instances]
    report = opts.reporter()
    for line in forgotten_lines(
        [*observed.others, *own], datetime.now(UTC), after=config.limits.forgotten_after
    ):
        report.note(line)
