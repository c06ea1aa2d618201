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
    if sys.platform == "darwin":
        return "127.0.0.1"
    taken = _taken()
    while True:
        address = f"127.77.{random.randrange(256)}.{random.randrange(1, 255)}"
        if address not in taken:
            return address


def free_private_address() -> str:
    """A random address that plays the part of a VPC's, kept over stop and start. On loopback too, so that
    process machines reach each other.
    """
    if sys.platform == "darwin":
        return "127.0.0.1"
    taken = {interface.private_ip_address for interface in _interfaces()}
    while True:
        address = f"127.78.{random.randrange(256)}.{random.randrange(1, 255)}"
        if address not in taken:
            return address


def _taken() -> set[str]:
    return {interface.public_ip for interface in _interfaces() if interface.public_ip}


def _interfaces() -> Iterator[Any]:
    from moto.ec2.models import ec2_backends

    for _, _, backend in ec2_backends.iter_backends():
        yield from backend.enis.values()
