"""The valid and invalid values of each kind of config key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time, timedelta
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gpu_box.config import values

SIZE = values.integer(8, 16_384)
AFTER = values.duration("2m", "24h")
NAME = "a box name: 1 to 32 letters, digits and hyphens, no hyphen at either end"
HERE = "an address or network such as 203.0.113.7 or 203.0.113.0/24"
PARSERS = [
    values.text, values.requirement, values.box_name, values.region, values.zone, values.instance_type,
    values.image_id, values.subnet_id, values.user_name, values.tag_value, values.choice("a", "b"), SIZE,
    values.boolean, AFTER, values.money, values.time_of_day, values.path, values.cidr,
]  # fmt: skip


@pytest.mark.parametrize(
    ("parse", "raw", "value"),
    [
        (values.text, "a b", "a b"),
        *[
            (values.requirement, r, r)
            for r in (
                "polars",
                "timm==1.0.9",
                "torchmetrics[image]>=1,<2",
                "x @ https://example.org/x.whl",
                "git+https://example.org/x.git",
                "tomli; python_version < '3.11'",
            )
        ],
        (values.box_name, "a", "a"),
        (values.box_name, "Ada-2", "Ada-2"),
        (values.box_name, "a" * 32, "a" * 32),
        *[(values.region, r, r) for r in ("us-east-1", "us-gov-west-1", "ap-southeast-2", "eusc-de-east-1")],
        *[(values.zone, z, z) for z in ("us-east-1a", "us-west-2-lax-1a", "us-gov-west-1b")],
        *[
            (values.instance_type, t, t)
            for t in ("g4dn.xlarge", "p5.48xlarge", "u-6tb1.56xlarge", "g5.metal")
        ],
        (values.image_id, "ami-0123456789abcdef0", "ami-0123456789abcdef0"),
        (values.image_id, "ami-12345678", "ami-12345678"),
        (values.subnet_id, "subnet-0123456789abcdef0", "subnet-0123456789abcdef0"),
        (values.user_name, "ec2-user", "ec2-user"),
        (values.tag_value, "Ada Lovelace (not taken)"[:12], "Ada Lovelace"),
        (values.tag_value, "ada+x@example.org", "ada+x@example.org"),
        (values.tag_value, "Zoë", "Zoë"),
        (SIZE, "100", 100),
        (SIZE, "+8", 8),
        (SIZE, "0100", 100),
        *[(values.boolean, word, True) for word in ("true", "True", "yes", "on", "YES")],
        *[(values.boolean, word, False) for word in ("false", "no", "off", "FALSE")],
        (AFTER, "2m", timedelta(minutes=2)),
        (AFTER, "24h", timedelta(hours=24)),
        (values.money, "$50", Decimal(50)),
        (values.time_of_day, "23:00", time(23, 0)),
        (values.time_of_day, "7:05", time(7, 5)),
        (values.time_of_day, "00:00", time(0, 0)),
        (values.path, "a/b c", Path("a/b c")),
        (values.cidr, "203.0.113.7", ip_network("203.0.113.7/32")),
        (values.cidr, "203.0.113.0/24", ip_network("203.0.113.0/24")),
        (values.cidr, "2001:db8::7", ip_network("2001:db8::7/128")),
        (values.cidr, "2001:DB8::/64", ip_network("2001:db8::/64")),
    ],
)
def test_taken(parse: Callable[[str], Any], raw: str, value: object) -> None:
    assert parse(raw) == value


@pytest.mark.parametrize(
    ("parse", "raw", "said"),
    [
        (values.text, "  ", "is empty"),
        (values.text, "a\nb", "contains a control character"),
        (values.text, "\ud800", "contains a lone surrogate"),
        *[(values.requirement, raw, f"{raw!r} is not a requirement such as polars or timm==1.0.9")
          for raw in ("-r requirements.txt", "--index-url=http://x", "./wheel.whl", "", "/etc")],
        *[(values.box_name, raw, f"{raw!r} is not {NAME}") for raw in ("", "-a", "a-", "a_b", "ä", "a\n")],
        (values.box_name, "a" * 99, f"{'a' * 60!r} is not {NAME}"),
        (values.region, "us-east-1a",
         "'us-east-1a' is not an AWS region such as us-east-1; did you mean us-east-1?"),
        (values.region, "US-EAST-1",
         "'US-EAST-1' is not an AWS region such as us-east-1; did you mean us-east-1?"),
        (values.zone, "us-east-1", "'us-east-1' is not a zone such as us-east-1a"),
        (values.instance_type, "g4dn", "'g4dn' is not an instance type such as g4dn.xlarge; "
         "did you mean g4dn.xlarge or g4dn.2xlarge or g4dn.4xlarge?"),
        (values.image_id, "ami-xyz", "'ami-xyz' is not an AMI id such as ami-0123456789abcdef0"),
        (values.subnet_id, "vpc-1", "'vpc-1' is not a subnet id such as subnet-0123456789abcdef0"),
        (values.user_name, "a;b", "'a;b' is not a login name such as ubuntu"),
        (values.tag_value, "a\nb", "'a\\nb' is not a name that AWS accepts as a tag"),
        (values.choice("a", "b"), "A", "'A' is not one of a, b"),
        (SIZE, "1e2", "'1e2' is not a whole number"),
        (SIZE, "0x64", "'0x64' is not a whole number"),
        (SIZE, "١٠٠", "'١٠٠' is not a whole number"),
        (SIZE, "9" * 13, "9999999999999 is out of range: 8 to 16384"),
        (SIZE, "7", "7 is out of range: 8 to 16384"),
        (SIZE, "-8", "-8 is out of range: 8 to 16384"),
        (values.boolean, "1", "'1' is not true or false"),
        (AFTER, "119s", "119s is out of range: 2 min to 1 d"),
        (AFTER, "25h", "25h is out of range: 2 min to 1 d"),
        (values.time_of_day, "24:00", "'24:00' is not a time of day such as 23:00"),
        (values.time_of_day, "11pm", "'11pm' is not a time of day such as 23:00"),
        (values.time_of_day, "٧:٠٠", "'٧:٠٠' is not a time of day such as 23:00"),
        (values.path, "~no-one/x", "'~no-one/x' begins with ~, but there is no such user on this machine"),
        (values.cidr, "here", f"'here' is not {HERE}"),
        (values.cidr, "203.0.113.256", f"'203.0.113.256' is not {HERE}"),
        (values.cidr, "203.0.113.7/33", f"'203.0.113.7/33' is not {HERE}"),
        (values.cidr, "203.0.113.7/24",
         "203.0.113.7/24 is an address inside a network; did you mean 203.0.113.0/24?"),
        (values.cidr, "fe80::1%eth0", f"'fe80::1%eth0' is not {HERE}"),
        (values.cidr, "::ffff:203.0.113.7", "::ffff:203.0.113.7 is an IPv4 address; write it as 203.0.113.7"),
        (values.cidr, "0.0.0.0", "0.0.0.0 is not an address of a host; use your own"),
        (values.cidr, "0.0.0.0/0", "0.0.0.0/0 opens port 22 to the whole internet; use your own address"),
        (values.cidr, "::/0", "::/0 opens port 22 to the whole internet; use your own address"),
    ],
)  # fmt: skip
def test_refused_in_words(parse: Callable[[str], Any], raw: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(raw)
    assert str(caught.value) == said


@pytest.mark.parametrize("parse", PARSERS, ids=range(len(PARSERS)))
@given(raw=st.text(max_size=40))
def test_any_text_is_a_value_or_one_line_of_refusal(parse: Callable[[str], Any], raw: str) -> None:
    try:
        parse(raw)
    except ValueError as error:
        assert str(error).isprintable()


@given(st.ip_addresses())
def test_every_form_of_address_may_be_admitted(address: Any) -> None:
    assume(not address.is_unspecified and not getattr(address, "ipv4_mapped", None))
    assert values.cidr(str(address)).network_address == address


@pytest.mark.parametrize(
    "raw", ["https://ntfy.sh/topic", "https://hooks.slack.com/services/T/B/x", "http://127.0.0.1:8080/x"]
)
def test_a_webhook_is_an_address(raw: str) -> None:
    assert values.webhook(raw) == raw


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("ntfy.sh/SECRET", "is not a URL"),
        ("https:///SECRET", "is not a URL"),
        ("https://a b/SECRET", "is not a URL"),
        ("ftp://example.org/SECRET", "is not a URL"),
        ("http://example.org/SECRET", "which sends messages unencrypted"),
    ],
)
def test_a_webhook_that_is_wrong_is_not_repeated(raw: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as wrong:
        values.webhook(raw)
    assert "SECRET" not in str(wrong.value)
