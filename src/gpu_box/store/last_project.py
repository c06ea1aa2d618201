"""Which config.yaml of this laptop brought a box up last: two projects with one box name share ~/work."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from gpu_box.files import write_whole


def other(memory: Path, config: Path | None) -> Path | None:
    """The file that brought the box up before, if it is another one and still there. Notes this one.

    config: the file that was read, absolute; None for all defaults, which send no project.
    """
    if config is None:
        return None
    before = None
    with suppress(OSError, ValueError):
        before = Path(memory.read_text(encoding="utf-8"))
    with suppress(OSError):
        write_whole(memory, str(config))
    return before if before and before != config and before.is_file() else None
