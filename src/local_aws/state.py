"""The cloud on disk: moto's backends and the weather, pickled atomically after each change.

The file is in the user's data folder; only this program writes and reads it.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

from moto.backends import get_backend

from local_aws.faults import Weather, set_weather, weather
from local_aws.files import read_private, write_private
from local_aws.moto_inside import loaded_backends

# It holds a lambda, which cannot be pickled, and only data that is made anew: the public parameters.
NOT_KEPT = {"ssm"}


class State:
    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self) -> None:
        """Takes 1 ms for one region with a box (measured)."""
        write_private(self._path, dumped())

    def restore(self) -> None:
        """Restore the cloud. Raises ValueError for a file that this version cannot read, and Failure for
        another user's file: a pickle runs code.
        """
        if not self._path.exists():
            return
        load(read_private(self._path))


def dumped() -> bytes:
    """The whole cloud of this process, pickled."""
    kept = {
        backends.service_name: {account: dict(regions.items()) for account, regions in backends.items()}
        for backends in loaded_backends()
        if backends.service_name not in NOT_KEPT
    }
    return pickle.dumps((kept, weather()), protocol=pickle.HIGHEST_PROTOCOL)


def load(content: bytes) -> None:
    """Restore what was dumped; other regions' later state stays. Raises ValueError."""
    try:
        kept, then = _Unpickler(io.BytesIO(content)).load()
    except Exception as error:  # pickle raises nearly any exception for a class that has moved
        raise ValueError(f"{type(error).__name__}: {error}") from error
    _restore_backends(kept)
    set_weather(then if isinstance(then, Weather) else Weather())


class _Unpickler(pickle.Unpickler):
    """Makes plain containers, and objects of moto's and our own classes: no function is called by a name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "getattr"):
            return _filter_of
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        if module.partition(".")[0] in ("moto", "local_aws") and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is none of the cloud's classes")


def _filter_of(thing: Any, name: str) -> Any:
    """Moto's security groups keep their own methods `filter_...`; a bound method is pickled as getattr."""
    if type(thing).__module__.startswith("moto.ec2.") and name.startswith("filter_"):
        return getattr(thing, name)
    raise pickle.UnpicklingError(f"{name} is no filter")


_PLAIN = {
    *(("builtins", name) for name in ("set", "frozenset", "dict", "list", "bytearray", "complex", "object")),
    *(("datetime", name) for name in ("datetime", "date", "time", "timedelta", "timezone")),
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("collections", "deque"),
    ("copyreg", "_reconstructor"),
    ("decimal", "Decimal"),
    ("re", "_compile"),
    ("ipaddress", "IPv4Network"),
    ("ipaddress", "IPv6Network"),
    ("ipaddress", "IPv4Address"),
    ("ipaddress", "IPv6Address"),
}


def _restore_backends(kept: dict[str, dict[str, dict[str, Any]]]) -> None:
    for service, accounts in kept.items():
        backends = get_backend(service)
        for account, regions in accounts.items():
            for region, backend in regions.items():
                backends[account][region] = backend
