"""From which address this laptop is seen: the only one that may reach port 22; and whether it can."""

from __future__ import annotations

import os
import socket
import ssl
from ipaddress import ip_address, ip_network

from gpu_box.config.model import Config
from gpu_box.errors import CloudUnreachable
from gpu_box.model.check import Check
from gpu_box.model.observed import Cidr

# AWS's own service for it. Another cloud names its own in the variable.
_CHECKIP_URL = "https://checkip.amazonaws.com"
_TIMEOUT_S = 5
_ANYWHERE = ("192.0.2.1", 9)  # an address for documentation (RFC 5737), which no one has


def caller_address() -> tuple[Cidr, ...]:
    """One network of one address, IPv4 or IPv6. Raises CloudUnreachable with the key to set by hand."""
    import urllib.request  # 13 ms, and one command of all needs it

    url = os.environ.get("GPU_BOX_CHECKIP_URL", _CHECKIP_URL)
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S, context=_trust(url)) as answer:
            text = answer.read(64).decode("ascii", "replace").strip()
        return (ip_network(ip_address(text)),)
    except (OSError, ValueError) as error:
        raise CloudUnreachable(
            f"could not find out this laptop's public address ({error})",
            where=url,
            remedy="Set network.allow_ssh_from in config.yaml to your address, such as [203.0.113.7/32].",
        ) from error


def check_address(config: Config) -> Check:
    """A box has an IPv4 address alone: who has none, or no way to one, does not reach its port 22."""
    try:
        admitted = config.network.allow_ssh_from or caller_address()
    except CloudUnreachable as error:
        return Check.failed("address", error) if has_way_to_ipv4() else _only_ipv6("")
    whom = ", ".join(map(str, admitted))
    if all(network.is_loopback for network in admitted):
        return Check(name="address", ok=True, line=f"port 22 is for {whom} alone")
    if not has_way_to_ipv4() or all(network.version == 6 for network in admitted):
        return _only_ipv6(f" ({whom})")
    return Check(name="address", ok=True, line=f"port 22 is for {whom} alone")


def has_way_to_ipv4() -> bool:
    """Whether the kernel knows a route. Nothing is sent: UDP's connect only chooses one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ANYWHERE)
        except OSError:
            return False
    return True


def _only_ipv6(whom: str) -> Check:
    return Check(
        name="address",
        ok=False,
        line=f"this computer is on IPv6 alone{whom}, and a box has an IPv4 address",
        remedy="Use a network or a VPN with IPv4; network.allow_ssh_from may name its address.",
    )


def _trust(url: str) -> ssl.SSLContext | None:
    """As AWS's SDK does: a company's proxy signs by itself, and its certificates stand in AWS_CA_BUNDLE."""
    bundle = os.environ.get("AWS_CA_BUNDLE")
    return ssl.create_default_context(cafile=bundle) if bundle and url.startswith("https:") else None
