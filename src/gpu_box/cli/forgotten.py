"""A word about boxes that lie stopped for long, under what a command has to say itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gpu_box.cli.context import Options

if TYPE_CHECKING:
    from gpu_box.config import Config


def mention_forgotten(opts: Options, config: Config) -> None:
    """One call to AWS; what it refuses is no matter here."""
    if opts.json:
        return
    from gpu_box.aws.client import Cloud
    from gpu_box.aws.observe import observe_all
    from gpu_box.errors import CloudError
    from gpu_box.view.sweep import forgotten_lines

    try:
        listed = observe_all(Cloud(config))
    except CloudError:
        return
    report = opts.reporter()
    for line in forgotten_lines(listed, datetime.now(UTC), after=config.limits.forgotten_after):
        report.note(line)
