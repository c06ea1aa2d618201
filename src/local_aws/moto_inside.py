"""Private parts of moto that this package uses. No other module touches private names of moto's objects.

tests/local_aws/test_moto.py checks the private methods that our classes override, and whatever else an
upgrade of moto may move.
"""

from __future__ import annotations

from typing import Any

from moto.core.base_backend import BackendDict


def loaded_backends() -> list[Any]:
    """One dictionary per service that has been used: account -> region -> backend."""
    return list(BackendDict._instances)


def explain_state(instance: Any, reason: str) -> None:
    """Set the instance's StateTransitionReason."""
    instance._reason = reason
