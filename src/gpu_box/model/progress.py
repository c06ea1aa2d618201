"""Where progress is reported."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Where progress goes. `view` draws it; tests record it; `--json` swallows it.

    `step` is a stable short name ("instance", "ssh", "jupyter"); lines are for people.
    """

    def start(self, step: str, line: str = "") -> None: ...
    def update(self, step: str, line: str) -> None: ...
    def done(self, step: str, line: str = "") -> None: ...
    def failed(self, step: str, line: str = "") -> None: ...
    def note(self, line: str) -> None: ...
