"""AWS's answers as they arrive: limited in size and time, parsed, and of the types that the SDK's model says.

A proxy, a login page of a network or another program may answer instead of AWS, or change or cut an answer.
Whatever arrives is either an Answer, or a CloudError of one line. Missing fields are no error until they are
read, because AWS leaves out what is empty.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import responses
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, HTTPClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError, ResponseParserFactory

from gpu_box.aws import trust
from gpu_box.aws.early import Connections
from gpu_box.errors import CloudError, CloudUnreachable

LARGEST = 64 << 20  # bytes; the largest answers, 1,000 instances or 100 prices, have a few million
_CHUNK = 1 << 16
_MOST_PAGES = 2000
_YEARS = (1970, 2200)
_REMEDY = "Run this again; if it stays so, a proxy or an AWS_ENDPOINT_URL between may change AWS's answers."
_TYPES: dict[str, Any] = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "character": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "timestamp": datetime,
    "blob": bytes,
}
_ROOT = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z][\w.-]*)")


def malformed(operation: str, why: str) -> CloudError:
    return CloudError(f"AWS's answer to {operation} makes no sense: {why}", remedy=_REMEDY)


class Answer(dict[str, Any]):
    """A structure in an answer. Reading a field that is not there raises CloudError."""

    operation = "a request"

    def __missing__(self, name: str) -> Any:
        raise malformed(self.operation, f"it has no {name}")


class Items(list[Any]):
    """A list in an answer. Reading an item that is not there raises CloudError."""

    operation = "a request"

    def __getitem__(self, index: Any) -> Any:
        try:
            return super().__getitem__(index)
        except IndexError:
            raise malformed(self.operation, "a list in it is empty") from None


class Parsers(ResponseParserFactory):  # type: ignore[misc]
    """The SDK's component that parses answers."""

    def create_parser(self, protocol_name: str) -> Any:
        return _Parser(super().create_parser(protocol_name), protocol_name)


class _Parser:
    def __init__(self, inner: Any, protocol: str) -> None:
        self._inner, self._protocol = inner, protocol

    def parse(self, response: dict[str, Any], shape: Any) -> Any:
        """As the SDK's parsers."""
        operation = str(response.get("context", {}).get("operation_name", "a request"))
        status = response["status_code"]
        try:
            if status < 300:
                self._require_own_form(response["body"])
            parsed = self._inner.parse(response, shape)
            if status < 300:
                return _checked(parsed, shape, operation)
            of_error = shape is not None and shape.metadata.get("exception")
            return parsed if of_error else {**parsed, "Error": _error(parsed.get("Error"))}
        except CloudError:
            raise
        except Exception as error:  # a parser may raise anything
            if status >= 500:  # a proxy's page: the SDK tries again, as it does after AWS's own
                reason = responses.get(status, "")
                metadata = {"HTTPStatusCode": status, "HTTPHeaders": {}}
                return {"Error": {"Code": str(status), "Message": reason}, "ResponseMetadata": metadata}
            raise malformed(operation, _why(error, response)) from error

    def _require_own_form(self, body: bytes) -> None:
        """Raise ValueError for a body that the SDK's parser would read as an empty answer."""
        if self._protocol in ("ec2", "query"):
            root = _ROOT.search(body)
            if root is None or not root[1].endswith(b"Response"):
                raise ValueError(body)
        elif "json" in self._protocol and body.strip() and not isinstance(json.loads(body), dict):
            raise ValueError(body)


def _why(error: Exception, response: dict[str, Any]) -> str:
    """A web page is named as such."""
    headers = {str(name).lower(): str(value) for name, value in response["headers"].items()}
    start = response["body"][:1000].lstrip().lower()
    if "html" in headers.get("content-type", "") or start.startswith((b"<!doctype html", b"<html")):
        return f"it is a web page (HTTP {response['status_code']}), of a proxy or of your network's login"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, ResponseParserError | UnicodeError | json.JSONDecodeError):
        return "it is cut off, or damaged"
    return "it has another form than AWS's"


def _error(error: Any) -> dict[str, Any]:
    """The error's code and message as text."""
    error = error if isinstance(error, Mapping) else {}
    return {**error, **{name: str(error.get(name) or "") for name in ("Code", "Message")}}


def _checked(value: Any, shape: Any, operation: str) -> Any:
    """The value with Answers and Items. Raises CloudError for another type than the shape's."""
    kind = shape.type_name if shape is not None else "structure"
    if not isinstance(value, _TYPES.get(kind, object)) or (isinstance(value, float) and not isfinite(value)):
        raise malformed(operation, f"{shape.name} is no {kind}")
    if isinstance(value, datetime) and not _is_near(value):
        raise malformed(operation, f"it has a time in the year {value.year}")
    found: Answer | Items
    if isinstance(value, list):
        found = Items(_checked(item, shape.member, operation) for item in value)
    elif kind == "map":
        found = Answer({key: _checked(item, shape.value, operation) for key, item in value.items()})
    elif isinstance(value, dict):
        members = shape.members if shape is not None else {}
        found = Answer(
            {
                key: _checked(item, members[key], operation) if key in members else item
                for key, item in value.items()
            }
        )
    else:
        return value
    found.operation = operation
    return found


def moment(text: str) -> datetime | None:
    """A time that AWS writes as text: aware, UTC. None if it is no time, or none that can be shown."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if _is_near(at) else None
    except (ValueError, OverflowError):
        return None


def _is_near(at: datetime) -> bool:
    """Whether every time zone can show it."""
    return _YEARS[0] <= at.year < _YEARS[1]


def listed(client: Any, operation: str, **arguments: Any) -> Iterator[Any]:
    """The items on all pages of a list. Raises CloudError if the pages do not end."""
    paginator = client.get_paginator(operation)
    for number, page in enumerate(paginator.paginate(**arguments)):
        if number >= _MOST_PAGES:
            raise malformed(client.meta.method_to_api_mapping[operation], "its pages do not end")
        yield from page[paginator.result_keys[0].expression]


def listed_instances(ec2: Any, **arguments: Any) -> Iterator[dict[str, Any]]:
    for reservation in listed(ec2, "describe_instances", **arguments):
        yield from reservation["Instances"]


def bound_clients(session: Any, longest_s: float, connections: Connections | None = None) -> None:
    """Bound each client that this session of botocore makes, for us or for itself.

    connections: those that were opened before.
    """
    make = session.create_client

    def create_client(*args: Any, **options: Any) -> Any:
        client = make(*args, **options)
        _require_address(client.meta.endpoint_url)
        trust.read_once(client, connections)
        client._endpoint.http_session = Bounded(client._endpoint.http_session, longest_s)
        return client

    session.create_client = create_client


def _require_address(url: str) -> None:
    """Raise ValueError, as the SDK does, for what it would find only while it signs."""
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:  # no number as its port
        valid = False
    if not valid or url != url.strip():
        raise ValueError(f"Invalid endpoint: {url}")


def bound(client: Any, longest_s: float) -> None:
    """Set the limit of a client from a session of `bound_clients`."""
    client._endpoint.http_session.longest_s = longest_s


class Bounded:
    """Sends requests by the SDK's own HTTP session, whose limits of time are for a single read.

    Limits the size of each answer, and the time from the request to its last byte.
    """

    def __init__(self, session: Any, longest_s: float) -> None:
        self._session, self.longest_s = session, longest_s

    def send(self, request: Any) -> Any:
        """In a thread, which is left behind with an answer that drips for ever."""
        answer: Future[Any] = Future()
        threading.Thread(target=self._send, args=(request, answer), daemon=True).start()
        try:
            return answer.result(self.longest_s)
        except TimeoutError:
            raise CloudUnreachable(
                f"AWS's answer is not complete after {self.longest_s:.0f} s",
                where=urlsplit(request.url).hostname,
                remedy="Check your network (and proxy) and run this again to continue.",
            ) from None

    def close(self) -> None:
        self._session.close()

    def _send(self, request: Any, answer: Future[Any]) -> None:
        try:
            streams, request.stream_output = request.stream_output, True  # so that we read it
            response = self._session.send(request)
            if not streams:
                body = _Body(_read(request, response))
                response = AWSResponse(response.url, response.status_code, response.headers, body)
            answer.set_result(response)
        except BaseException as error:
            answer.set_exception(error)


@dataclass(frozen=True)
class _Body:
    """A body that has been read, as the SDK reads one."""

    content: bytes

    def stream(self, **_: Any) -> list[bytes]:
        return [self.content]


def _read(request: Any, response: Any) -> bytes:
    """The body. Raises what the SDK tries again, and CloudError if it is too large."""
    parts, size = list[bytes](), 0
    try:
        for part in response.raw.stream(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                response.raw.close()
                raise CloudError(
                    f"AWS's answer is larger than {LARGEST >> 20} MiB",
                    where=urlsplit(request.url).hostname,
                    remedy=_REMEDY,
                )
    except CloudError:
        raise
    except Exception as error:
        kind = ReadTimeoutError if "timed out" in str(error) else HTTPClientError
        raise kind(endpoint_url=request.url, error=error, request=request) from error
    length = response.headers.get("content-length", "")
    if length.isdigit() and int(length) > size:
        raise ConnectionClosedError(endpoint_url=request.url, error="cut off", request=request)
    return b"".join(parts)
