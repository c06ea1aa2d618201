"""This laptop's public address, the only one allowed to reach port 22; and whether it can reach a box."""

from __future__ import annotations

import os
import socket
import ssl
from ipaddress import ip_address, ip_network

from gpu_box.aws import trust
from gpu_box.config.model import Config
from gpu_box.errors import CloudUnreachable
from gpu_box.model.check import Check
from gpu_box.model.observed import Cidr

# AWS's own service. Another cloud sets the variable.
_CHECKIP_URL = "https://checkip.amazonaws.com"
_TIMEOUT_S = 5
_ANYWHERE = ("192.0.2.1", 9)  # an address for documentation (RFC 5737), used by no host


def caller_address() -> tuple[Cidr, ...]:
    """A network with one address, IPv4 or IPv6. Raises CloudUnreachable with the key to set instead."""
    import urllib.request  # 13 ms, and few commands need it

    url = os.environ.get("GPU_BOX_CHECKIP_URL", _CHECKIP_URL)
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S, context=_trust(url)) as answer:
            text = answer.read(64).decode("ascii", "replace").strip()
        return (ip_network(ip_address(text)),)
    except (OSError, ValueError) as error:
        raise CloudUnreachable(
            f"cannot determine this laptop's public address ({error})",
            where=url,
            remedy="Set network.allow_ssh_from in config.yaml to your address, such as [203.0.113.7/32].",
        ) from error


def check_address(config: Config) -> Check:
    """A box has only an IPv4 address, so this laptop needs one or a route to it."""
    try:
        allowed = config.network.allow_ssh_from or caller_address()
    except CloudUnreachable as error:
        return Check.failed("address", error) if has_way_to_ipv4() else _only_ipv6("")
    addresses = ", ".join(map(str, allowed))
    if all(network.is_loopback for network in allowed):
        return Check(name="address", ok=True, line=f"port 22 allows only {addresses}")
    if not has_way_to_ipv4() or all(network.version == 6 for network in allowed):
        return _only_ipv6(f" ({addresses})")
    return Check(name="address", ok=True, line=f"port 22 allows only {addresses}")


def has_way_to_ipv4() -> bool:
    """Whether the kernel has a route. Sends nothing: connecting a UDP socket only selects one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ANYWHERE)
        except OSError:
            return False
    return True


def _only_ipv6(addresses: str) -> Check:
    return Check(
        name="address",
        ok=False,
        line=f"this computer has only IPv6{addresses}, and a box has an IPv4 address",
        remedy="Use a network or a VPN with IPv4; set network.allow_ssh_from to its address if needed.",
    )


def _trust(url: str) -> ssl.SSLContext | None:
    """The certificates that the SDK uses, for a company proxy."""
    _, bundle = trust.bundle()
    return ssl.create_default_context(cafile=bundle) if bundle and url.startswith("https:") else None
