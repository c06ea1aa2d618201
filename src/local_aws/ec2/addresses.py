"""Loopback addresses of instances, public and private.

Linux answers on all of 127.0.0.0/8. macOS answers on 127.0.0.1 only, so there every instance has that
address, and the tag gpu-box:ssh-port tells them apart.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Any


def free_public_address() -> str:
    """A random 127.77.x.y that no network interface of any region has."""
    return _free("127.77", {interface.public_ip for interface in _interfaces()})


def free_private_address() -> str:
    """A random address that plays the part of a VPC's, kept over stop and start. On loopback too, so that
    process machines reach each other.
    """
    return _free("127.78", {interface.private_ip_address for interface in _interfaces()})


def _free(begin: str, taken: set[str]) -> str:
    if sys.platform == "darwin":
        return "127.0.0.1"
    while True:
        address = f"{begin}.{random.randrange(256)}.{random.randrange(1, 255)}"
        if address not in taken:
            return address


def _interfaces() -> Iterator[Any]:
    from moto.ec2.models import ec2_backends

    for _, _, backend in ec2_backends.iter_backends():
        yield from backend.enis.values()
