"""Parsers for values of config.yaml. Each takes text and returns the value, or raises ValueError.

They check the syntax only: AWS decides whether a region, a type or an image exists.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import time, timedelta
from decimal import Decimal
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from gpu_box.model.machine import Forward
from gpu_box.model.observed import Cidr
from gpu_box.nearest import nearest
from gpu_box.resources import gpu_table
from gpu_box.units import format_duration, parse_duration, parse_money


def text(raw: str) -> str:
    if not raw.strip():
        raise ValueError("is empty")
    if any(ord(c) < 32 or ord(c) == 127 for c in raw):
        raise ValueError("contains a control character")
    if any(0xD800 <= ord(c) < 0xE000 for c in raw):
        raise ValueError("contains a lone surrogate")
    return raw


def _shape(
    pattern: str, described: str, *, ascii_only: bool = True, meant: Callable[[str], list[str]] = lambda _: []
) -> Callable[[str], str]:
    """meant: the values that a mistyped one may stand for."""
    compiled = re.compile(pattern, re.ASCII if ascii_only else 0)

    def parse(raw: str) -> str:
        if not compiled.fullmatch(raw):
            near = f"; did you mean {' or '.join(meant(raw[:60]))}?" if meant(raw[:60]) else ""
            raise ValueError(f"{raw[:60]!r} is not {described}{near}")
        return raw

    return parse


# AWS's regions whose prices are in US dollars, the oldest first, for hints only: AWS's SDK decides.
REGIONS = (
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-central-1", "eu-west-2", "eu-west-3",
    "eu-north-1", "eu-south-1", "eu-south-2", "eu-central-2", "ca-central-1", "ca-west-1", "sa-east-1",
    "mx-central-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-southeast-1", "ap-southeast-2",
    "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-7", "ap-south-1", "ap-south-2",
    "ap-east-1", "me-south-1", "me-central-1", "il-central-1", "af-south-1", "us-gov-west-1", "us-gov-east-1",
)  # fmt: skip


def _regions_like(raw: str) -> list[str]:
    return nearest(re.sub("[^a-z0-9]+", "-", raw.casefold()).strip("-"), REGIONS) if raw else []


def _types_like(raw: str) -> list[str]:
    """By name, or by GPU: h100."""
    types = gpu_table()["types"]
    with_gpu = [name for name, facts in types.items() if facts["gpu"].casefold() == raw.casefold()]
    return with_gpu[:3] or (nearest(raw, types) if raw else [])


box_name = _shape(
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?",
    "a box name: 1 to 32 letters, digits and hyphens, no hyphen at either end",
)
region = _shape(r"[a-z]{2,4}(-[a-z]+)+-\d", "an AWS region such as us-east-1", meant=_regions_like)
zone = _shape(r"[a-z]{2,4}(-[a-z0-9]+)+-\d[a-z]?(-[a-z0-9]+)*[a-z]", "a zone such as us-east-1a")
instance_type = _shape(
    r"[a-z0-9][a-z0-9-]*\.[a-z0-9-]+", "an instance type such as g4dn.xlarge", meant=_types_like
)
image_id = _shape(r"ami-[0-9a-f]{8,17}", "an AMI id such as ami-0123456789abcdef0")
subnet_id = _shape(r"subnet-[0-9a-f]{8,17}", "a subnet id such as subnet-0123456789abcdef0")
user_name = _shape(r"[a-z_][a-z0-9_-]{0,31}", "a login name such as ubuntu")
# Anything else at the start would be an option of pip or a file on the box.
requirement = _shape(r"[A-Za-z0-9][ -~]{0,250}", "a requirement such as polars or timm==1.0.9")
# IAM User Guide, "Tag naming limits and requirements", which are stricter than EC2's.
tag_value = _shape(r"[\w +\-=.:/@]{1,256}", "a name that AWS accepts as a tag", ascii_only=False)
_tag_key = _shape(r"[\w +\-=.:/@]{1,128}", "a name that AWS accepts for a tag", ascii_only=False)
_ARN = "arn:aws[a-z-]*"
# IAM User Guide, "IAM identifiers": a path begins and ends with a slash; 512 characters.
_IAM_NAME = r"(?:[\x21-\x2e\x30-\x7e]{1,128}/){0,8}[\w+=,.@-]{1,128}"
role_arn = _shape(
    rf"{_ARN}:iam::\d{{12}}:role/{_IAM_NAME}",
    "the ARN of a role such as arn:aws:iam::123456789012:role/gpu-box-deadline",
)
policy_arn = _shape(
    rf"{_ARN}:iam::(?:\d{{12}}|aws):policy/{_IAM_NAME}",
    "the ARN of a policy such as arn:aws:iam::123456789012:policy/gpu-box-boundary",
)
role_path = _shape(r"/(?:[\x21-\x2e\x30-\x7e]{1,128}/){0,3}", "a path such as /boxes/")
kms_key_arn = _shape(
    rf"{_ARN}:kms:[a-z0-9-]+:\d{{12}}:key/[0-9a-zA-Z-]{{1,100}}",
    "the ARN of a KMS key such as arn:aws:kms:us-east-1:123456789012:key/0123abcd-...",
)


def tag_key(raw: str) -> str:
    """Names that begin with aws: are reserved by AWS; gpu-box uses its own to find its boxes."""
    key = _tag_key(raw)
    if key.lower().startswith(("aws:", "gpu-box:")) or key.lower() == "name":
        raise ValueError(
            f"{key!r} is a tag that {'AWS' if key.lower().startswith('aws:') else 'gpu-box'} sets"
        )
    return key


def variable(raw: str) -> str:
    """NAME or NAME=value. The value may be a secret, so no message shows it."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", raw.partition("=")[0]):
        raise ValueError("is not a variable such as HF_TOKEN or MODE=debug")
    return raw


LEAST_LOCAL_PORT, _LAST_PORT = 1024, 65535  # below 1024, most systems ask for root


def forward(raw: str) -> Forward:
    """PORT, the same on both sides, or LAPTOP:BOX, in the order of `ssh -L`."""
    if not re.fullmatch(r"[0-9]{1,9}(:[0-9]{1,9})?", raw):
        raise ValueError(f"{raw[:60]!r} is not a port such as 6006, or LAPTOP:BOX such as 8080:7860")
    here, _, there = raw.partition(":")
    local, remote = int(here), int(there or here)
    for port in (local, remote):
        if not 1 <= port <= _LAST_PORT:
            raise ValueError(f"{port} is not a port: 1 to {_LAST_PORT}")
    if local < LEAST_LOCAL_PORT:
        raise ValueError(
            f"port {local} of this laptop needs root; give a higher one, such as {8000 + local}:{remote}"
        )
    return Forward(local=local, remote=remote)


def choice(*allowed: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in allowed:
            raise ValueError(f"{raw[:60]!r} is not one of {', '.join(allowed)}")
        return raw

    return parse


_MOST_DIGITS = 12  # without leading zeros; int() refuses thousands


def integer(least: int, most: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]+", raw):
            raise ValueError(f"{raw[:60]!r} is not a whole number")
        digits = raw.lstrip("+-0")
        value = int(raw) if len(digits) <= _MOST_DIGITS else None
        if value is None or not least <= value <= most:
            shown = raw if len(raw) <= 60 else f"{raw[:60]}..."
            raise ValueError(f"{shown if value is None else value} is out of range: {least} to {most}")
        return value

    return parse


def integer_or_zero(least: int, most: int) -> Callable[[str], int]:
    parse = integer(least, most)
    return lambda raw: 0 if raw == "0" else parse(raw)


def boolean(raw: str) -> bool:
    # All spellings of YAML 1.1, because people know them.
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


def run_usd(raw: str) -> Decimal:
    """What one run may cost: less than a month's budget may be."""
    value = parse_money(raw)
    if value > 100_000:
        raise ValueError(f"{raw} is out of range: at most $100,000")
    return value


def webhook(raw: str) -> str:
    """A secret that is never shown: anyone who knows the URL can post there."""
    try:
        parts = urlsplit(text(raw))
        well = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well = False
    if not well or not raw.isascii() or not raw.isprintable() or " " in raw:
        raise ValueError("is not a URL such as https://ntfy.sh/my-own-topic")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError("is an http URL, which sends messages unencrypted; use https")
    return raw


def time_of_day(raw: str) -> time:
    match = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", raw)
    if not match:
        raise ValueError(f"{raw[:60]!r} is not a time of day such as 23:00")
    return time(int(match[1]), int(match[2]))


def path(raw: str) -> Path:
    """~ is the home folder. A relative path stays relative, to the config file."""
    if found := re.search(r"\$\{?[A-Za-z_]\w*\}?", raw):
        raise ValueError(f"{raw[:60]!r}: {found[0]} is not replaced by its value; write ~ or the whole path")
    try:
        return Path(text(raw)).expanduser()
    except RuntimeError:
        who = "you have no home folder" if raw.startswith("~/") else "there is no such user on this machine"
        raise ValueError(f"{raw[:60]!r} begins with ~, but {who}") from None


def cidr(raw: str) -> Cidr:
    try:
        network = ip_network(raw, strict=False)
        address = ip_address(raw.partition("/")[0])
        if "%" in raw:  # fe80::1%eth0: valid on one link only
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{raw[:60]!r} is not an address or network such as 203.0.113.7 or 203.0.113.0/24"
        ) from None
    if network.prefixlen == 0:
        raise ValueError(f"{raw} opens port 22 to the whole internet; use your own address")
    if address.is_unspecified:
        raise ValueError(f"{raw} is not an address of a host; use your own")
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        raise ValueError(f"{raw} is an IPv4 address; write it as {address.ipv4_mapped}")
    if address != network.network_address:
        raise ValueError(f"{raw} is an address inside a network; did you mean {network}?")
    return network
