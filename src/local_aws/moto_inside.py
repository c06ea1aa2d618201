"""What moto has no public name for. Nothing else here touches a private name of moto's objects.

Private methods that our classes override, and what else an upgrade of moto may move, are in
tests/local_aws/test_moto.py.
"""

from __future__ import annotations

from typing import Any

from moto.core.base_backend import BackendDict


def loaded_backends() -> list[Any]:
    """One dictionary a service that has been used: account -> region -> backend."""
    return list(BackendDict._instances)


def explain_state(instance: Any, reason: str) -> None:
    """reason: its StateTransitionReason."""
    instance._reason = reason
