"""What a value in config.yaml may be. Each function takes its text, returns the value, or raises ValueError.

Shapes alone: whether a region, a type or an image exists is AWS's to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import time, timedelta
from decimal import Decimal
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from gpu_box.model.observed import Cidr
from gpu_box.units import format_duration, parse_duration, parse_money


def text(raw: str) -> str:
    if not raw.strip():
        raise ValueError("is empty")
    if any(ord(c) < 32 or ord(c) == 127 for c in raw):
        raise ValueError("has a control character in it")
    if any(0xD800 <= ord(c) < 0xE000 for c in raw):
        raise ValueError("has half a character in it (a lone surrogate)")
    return raw


def _shape(pattern: str, described: str, *, ascii_only: bool = True) -> Callable[[str], str]:
    compiled = re.compile(pattern, re.ASCII if ascii_only else 0)

    def parse(raw: str) -> str:
        if not compiled.fullmatch(raw):
            raise ValueError(f"{raw[:60]!r} is not {described}")
        return raw

    return parse


box_name = _shape(
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?",
    "a box name: 1 to 32 letters, digits and hyphens, no hyphen at either end",
)
region = _shape(r"[a-z]{2,4}(-[a-z]+)+-\d", "an AWS region such as us-east-1")
zone = _shape(r"[a-z]{2,4}(-[a-z0-9]+)+-\d[a-z]?(-[a-z0-9]+)*[a-z]", "a zone such as us-east-1a")
instance_type = _shape(r"[a-z0-9][a-z0-9-]*\.[a-z0-9-]+", "an instance type such as g4dn.xlarge")
image_id = _shape(r"ami-[0-9a-f]{8,17}", "an AMI id such as ami-0123456789abcdef0")
subnet_id = _shape(r"subnet-[0-9a-f]{8,17}", "a subnet id such as subnet-0123456789abcdef0")
user_name = _shape(r"[a-z_][a-z0-9_-]{0,31}", "a login name such as ubuntu")
# What begins otherwise, pip takes as an option of its own, or as a file on the box.
requirement = _shape(r"[A-Za-z0-9][ -~]{0,250}", "a requirement such as polars or timm==1.0.9")
# AWS: letters, digits, spaces and + - = . _ : / @ in tag values, 256 at most.
tag_value = _shape(r"[\w +\-=.:/@]{1,256}", "a name that AWS takes as a tag", ascii_only=False)


def choice(*allowed: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in allowed:
            raise ValueError(f"{raw[:60]!r} is not one of {', '.join(allowed)}")
        return raw

    return parse


def integer(least: int, most: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,12}", raw):
            raise ValueError(f"{raw[:60]!r} is not a whole number")
        value = int(raw)
        if not least <= value <= most:
            raise ValueError(f"{value} is out of range: {least} to {most}")
        return value

    return parse


def boolean(raw: str) -> bool:
    # All spellings of YAML 1.1, which is what people have learnt.
    known = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if raw.lower() not in known:
        raise ValueError(f"{raw[:60]!r} is not true or false")
    return known[raw.lower()]


def duration(least: str, most: str) -> Callable[[str], timedelta]:
    shortest, longest = parse_duration(least), parse_duration(most)

    def parse(raw: str) -> timedelta:
        value = parse_duration(raw)
        if not shortest <= value <= longest:
            raise ValueError(
                f"{raw} is out of range: {format_duration(shortest)} to {format_duration(longest)}"
            )
        return value

    return parse


def money(raw: str) -> Decimal:
    value = parse_money(raw)
    if not 1 <= value <= 100_000:
        raise ValueError(f"{raw} is out of range: $1 to $100,000")
    return value


def webhook(raw: str) -> str:
    """Never shown: whoever knows the address may post there."""
    try:
        parts = urlsplit(text(raw))
        well = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well = False
    if not well or " " in raw:
        raise ValueError("is not an address such as https://ntfy.sh/my-own-topic")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError("is an http address: what it carries, anyone on the way may read; use https")
    return raw


def time_of_day(raw: str) -> time:
    match = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", raw)
    if not match:
        raise ValueError(f"{raw[:60]!r} is not a time of day such as 23:00")
    return time(int(match[1]), int(match[2]))


def path(raw: str) -> Path:
    """~ is the home folder; a relative path stays relative, for it is to the config file."""
    try:
        return Path(text(raw)).expanduser()
    except RuntimeError:
        who = "you have no home folder" if raw.startswith("~/") else "a user who is not on this machine"
        raise ValueError(f"{raw[:60]!r} begins with ~, and {who}") from None


def cidr(raw: str) -> Cidr:
    try:
        network = ip_network(raw, strict=False)
        address = ip_address(raw.partition("/")[0])
        if "%" in raw:  # fe80::1%eth0: of one link alone
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{raw[:60]!r} is not an address or network such as 203.0.113.7 or 203.0.113.0/24"
        ) from None
    if network.prefixlen == 0:
        raise ValueError(f"{raw} opens port 22 to the whole world; name your own address")
    if address.is_unspecified:
        raise ValueError(f"{raw} is nobody's address; name your own")
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        raise ValueError(f"{raw} is an IPv4 address; write it as {address.ipv4_mapped}")
    if address != network.network_address:
        raise ValueError(f"{raw} is an address inside a network; did you mean {network}?")
    return network
