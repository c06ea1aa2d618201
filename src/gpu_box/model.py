"""The frozen types that pass between rooms. No behaviour beyond what a value knows of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Host:
    """Everything needed to reach one machine over SSH and to know that it is the right one.

    host_keys: the OpenSSH public key lines ("ssh-ed25519 AAAA...") that the machine may present; any other
    is refused. More than one only while the first key is being replaced.
    """

    name: str  # the box
    address: str
    port: int
    user: str
    key: Path  # private key file of the user
    host_keys: tuple[str, ...]


class Reporter(Protocol):
    """Where progress goes. `view` draws it; tests record it; `--json` swallows it.

    `step` is a stable short name ("instance", "ssh", "jupyter"); lines are for people.
    """

    def start(self, step: str, line: str = "") -> None: ...
    def update(self, step: str, line: str) -> None: ...
    def done(self, step: str, line: str = "") -> None: ...
    def failed(self, step: str, line: str = "") -> None: ...
    def note(self, line: str) -> None: ...
