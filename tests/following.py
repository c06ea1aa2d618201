"""A job's log by lines, for tests that look at what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpu_box.machine import jobs
from gpu_box.machine.ssh.shell import LineSplitter
from gpu_box.model.machine import Host


def follow_lines(host: Host, name: str, on_line: Callable[[str], object], **more: Any) -> int:
    splitter = LineSplitter()

    def take(text: str) -> None:
        for line in splitter.feed(text.encode()):
            on_line(line)

    status = jobs.follow(host, name, take, **more)
    if rest := splitter.rest():
        on_line(rest)
    return status
