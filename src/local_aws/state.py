"""The cloud on disk: moto's backends and the weather, pickled after each change, whole or not at all.

A file in the user's own data folder, written and read by this program alone.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from moto.backends import get_backend

from local_aws.faults import Weather, set_weather, weather
from local_aws.files import read_private, write_private
from local_aws.moto_inside import loaded_backends

# Holds a lambda, so it cannot be pickled, and nothing that is not made anew: the public parameters.
NOT_KEPT = {"ssm"}


class State:
    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self) -> None:
        """Measured: 1 ms for one region with a box."""
        write_private(self._path, dumped())

    def restore(self) -> None:
        """Put everything back. Raises ValueError for a file that this version cannot read, and InputError for
        another user's: a pickle runs code.
        """
        if not self._path.exists():
            return
        load(read_private(self._path))


def dumped() -> bytes:
    """All of this process's cloud, as it is."""
    kept = {
        backends.service_name: {account: dict(regions.items()) for account, regions in backends.items()}
        for backends in loaded_backends()
        if backends.service_name not in NOT_KEPT
    }
    return pickle.dumps((kept, weather()), protocol=pickle.HIGHEST_PROTOCOL)


def load(content: bytes) -> None:
    """Put back what was dumped; what has come since, elsewhere, stays. Raises ValueError."""
    try:
        kept, then = pickle.loads(content)
    except Exception as error:  # pickle raises nearly anything for a class that has moved
        raise ValueError(f"{type(error).__name__}: {error}") from error
    _restore_backends(kept)
    set_weather(then if isinstance(then, Weather) else Weather())


def _restore_backends(kept: dict[str, dict[str, dict[str, Any]]]) -> None:
    for service, accounts in kept.items():
        backends = get_backend(service)
        for account, regions in accounts.items():
            for region, backend in regions.items():
                backends[account][region] = backend
