"""The interface for reporting progress."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Receives progress. `view` draws it, tests record it, `--json` discards it.

    `step` is a stable short name ("instance", "ssh", "jupyter"); lines are for people.
    """

    def start(self, step: str, line: str = "") -> None: ...
    def update(self, step: str, line: str) -> None: ...
    def done(self, step: str, line: str = "") -> None: ...
    def failed(self, step: str, line: str = "") -> None: ...
    def note(self, line: str) -> None: ...
