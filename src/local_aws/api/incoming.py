"""Reads HTTP requests safely: refuses browsers, and slow or endless bodies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from local_aws.api.signature import Request

# The Host header of a page that rebinds DNS to loopback names the page's own host.
_LOOPBACK_NAMES = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_BODY_LIMIT = 1 << 20  # bytes; AWS takes 16 KiB of user data, the largest parameter


class Rejected(Exception):
    """A request that is refused. status: the HTTP status."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def read(environ: Mapping[str, Any]) -> Request:
    """Read the whole request. Raises Rejected."""
    headers = _headers(environ)
    _refuse_browsers(headers)
    target = str(environ.get("REQUEST_URI", ""))
    if not target.startswith("/"):
        raise Rejected(400, "the request must name a path")
    return Request(
        method=environ["REQUEST_METHOD"], target=target, headers=headers, body=_body(environ, headers)
    )


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    headers = {
        name[5:].lower().replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):  # WSGI has these two without the prefix
        if value := environ.get(name):
            headers[name.lower().replace("_", "-")] = value
    return headers


def _refuse_browsers(headers: Mapping[str, str]) -> None:
    if not _LOOPBACK_NAMES.fullmatch(headers.get("host", "")):
        raise Rejected(403, "the embedded cloud answers to 127.0.0.1 and localhost only")
    if "origin" in headers or "sec-fetch-site" in headers:
        raise Rejected(403, "the embedded cloud does not answer web pages")


def _body(environ: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
    if "transfer-encoding" in headers:
        raise Rejected(411, "the request must have a Content-Length")
    length = headers.get("content-length", "0")
    if not re.fullmatch("[0-9]+", length):
        raise Rejected(400, "Content-Length must be a number")
    if len(length) > 9 or int(length) > _BODY_LIMIT:
        raise Rejected(413, f"the request must not be longer than {_BODY_LIMIT} bytes")
    try:
        body: bytes = environ["wsgi.input"].read(int(length))
    except TimeoutError:
        raise Rejected(408, "the request did not arrive in time") from None
    if len(body) < int(length):
        raise Rejected(400, "the request is shorter than its Content-Length")
    return body
