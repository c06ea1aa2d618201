"""Tests of values for the rows; and EC2's limits from botocore's text."""

from __future__ import annotations

import base64
import binascii
import json
import re
from functools import cache
from html import unescape
from ipaddress import ip_network

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


def is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def is_public_key(line: bytes) -> bool:
    try:
        public_key_parse(line)
    except Exception:  # ValueError, and exceptions of `cryptography`
        return False
    return True


def duplicate(tags: list[dict[str, str]]) -> str:
    """The first key that occurs twice, or ""."""
    keys = [tag.get("Key", "") for tag in tags]
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
    names = re.findall(r"<li> <p> ?<code>([^<]+)</code>", text)
    return frozenset(unescape(name).partition(":")[0] for name in names)


@cache
def ranges(parameter: str) -> dict[str, tuple[int, int]]:
    """(least, most) by volume type, from botocore's text about that EbsBlockDevice parameter."""
    found: dict[str, tuple[int, int]] = {}
    text = documented("RunInstances", f"BlockDeviceMappings.N.Ebs.{parameter}")
    for kinds, low, high in re.findall(r"(\w+(?: and \w+)?): ([\d,]+) - ([\d,]+)", text):
        limits = (int(low.replace(",", "")), int(high.replace(",", "")))
        found |= dict.fromkeys(kinds.split(" and "), limits)
    return found
