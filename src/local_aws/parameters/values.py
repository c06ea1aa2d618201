"""Tests of values for the rows; and EC2's limits from botocore's text."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from functools import cache
from html import unescape
from ipaddress import ip_network

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from moto.ec2.utils import public_key_parse

from local_aws.parameters import service_model


def is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def decoded(text: str) -> bytes:
    return base64.b64decode(text)


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def is_network(version: int) -> Callable[[str], bool]:
    """Whether a text is a block of addresses of that version of IP, with its prefix's length in digits."""

    def takes(text: str) -> bool:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            return False
        return network.version == version and re.fullmatch(r"[0-9a-fA-F.:]+/[0-9]+", text) is not None

    return takes


# The EC2 User Guide ("Create a key pair and import the public key") names 1024, 2048 and 4096, and RFC 4716's
# format for RSA only. AWS imported one of 3072 bits, the default of ssh-keygen: aws/aws-cli#5336.
_RSA_BITS = (1024, 2048, 3072, 4096)


def is_public_key(material: bytes) -> bool:
    try:
        key = public_key_parse(material)
    except Exception:  # ValueError, and exceptions of `cryptography`
        return False
    return key.key_size in _RSA_BITS if isinstance(key, RSAPublicKey) else material.startswith(b"ssh-ed25519")


def duplicate(items: list[dict[str, str]], name: str = "Key") -> str:
    """The first value of that name that occurs twice, or ""."""
    keys = [item.get(name, "") for item in items]
    return next((key for nth, key in enumerate(keys) if key in keys[:nth]), "")


@cache
def documented(operation: str, path: str) -> str:
    """botocore's text about an EC2 parameter, without mark-up; "" if it has none."""
    text = service_model.shape_at("ec2", operation, path).documentation
    return unescape(re.sub("<[^>]+>", "", text))


@cache
def filters(operation: str) -> frozenset[str]:
    """The names of an EC2 operation's filters, from botocore's text; "tag" for every tag:KEY."""
    text = service_model.shape_at("ec2", operation, "Filters").documentation
    names, depth = set(), 0  # a list within a filter's item is of its values
    for tag, name in re.findall(r"(</?ul>)|<li> <p> ?<code>([^<]+)</code>", text):
        depth += {"<ul>": 1, "</ul>": -1}.get(tag, 0)
        if name and depth == 1:
            names.add(unescape(name).partition(":")[0])
    return frozenset(names)


def is_filter(operation: str) -> Callable[[str], bool]:
    """Whether it is the name of one of an EC2 operation's filters."""

    def takes(name: str) -> bool:
        kind, colon, _ = name.partition(":")
        return kind in filters(operation) and bool(colon) == (kind == "tag")

    return takes


@cache
def ranges(parameter: str) -> dict[str, tuple[int, int]]:
    """(least, most) by volume type, from botocore's text about that EbsBlockDevice parameter."""
    found: dict[str, tuple[int, int]] = {}
    text = documented("RunInstances", f"BlockDeviceMappings.N.Ebs.{parameter}")
    for kinds, low, high in re.findall(r"(\w+(?: and \w+)?): ([\d,]+) - ([\d,]+)", text):
        limits = (int(low.replace(",", "")), int(high.replace(",", "")))
        found |= dict.fromkeys(kinds.split(" and "), limits)
    return found
