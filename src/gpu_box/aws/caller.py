"""From which address this laptop is seen: the only one that may reach port 22."""

from __future__ import annotations

import os
import urllib.request
from ipaddress import ip_address, ip_network

from gpu_box.errors import CloudUnreachable
from gpu_box.model import Cidr

# AWS's own service for it. Another cloud names its own in the variable.
_CHECKIP_URL = "https://checkip.amazonaws.com"
_TIMEOUT_S = 5


def caller_address() -> tuple[Cidr, ...]:
    """One network of one address, IPv4 or IPv6. Raises CloudUnreachable with the key to set by hand."""
    url = os.environ.get("GPU_BOX_CHECKIP_URL", _CHECKIP_URL)
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            text = answer.read(64).decode("ascii", "replace").strip()
        return (ip_network(ip_address(text)),)
    except (OSError, ValueError) as error:
        raise CloudUnreachable(
            f"could not find out this laptop's public address ({error})",
            where=url,
            remedy="Set network.allow_ssh_from in config.yaml to your address, such as [203.0.113.7/32].",
        ) from error
