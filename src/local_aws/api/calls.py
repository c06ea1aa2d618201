"""Which AWS call an HTTP request is: (service, operation)."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from local_aws.api.errors import QUERY_SERVICES
from local_aws.api.signature import Request, Signed

_READS = ("Describe", "Get", "List", "Head", "Simulate", "Lookup")
_QUERY = QUERY_SERVICES | {"ec2"}
_SCHEDULER = {
    "GET": "GetSchedule",
    "POST": "CreateSchedule",
    "PUT": "UpdateSchedule",
    "DELETE": "DeleteSchedule",
}

Fields = dict[str, str]
"""The fields of a form, in the order in which they were sent."""


@dataclass(frozen=True, kw_only=True)
class Call:
    service: str  # as in the request's signature, lower case: "ec2", "iam", "scheduler"
    operation: str  # "RunInstances"; "" if unknown
    key_id: str  # the access key that signed it
    region: str  # the region in the signature
    path: str
    query: str  # as it was sent
    body: bytes

    @property
    def changes(self) -> bool:
        return not self.operation.startswith(_READS)


def identify(request: Request, signed: Signed, path: str) -> Call:
    """Which call the request makes. path: decoded."""
    service = signed.service.lower()
    query = request.target.partition("?")[2]
    # A query service takes its parameters from the query string, too: presigned requests have no body.
    body = request.body or query.encode() if service in _QUERY else request.body
    return Call(
        service=service,
        operation=_operation(request, service, path, body),
        key_id=signed.key_id,
        region=signed.region,
        path=path,
        query=query,
        body=body,
    )


def as_wsgi(request: Request, signed: Signed) -> dict[str, Any]:
    """The WSGI variables that moto needs: a readable body, and the header by which it finds the service."""
    scope = f"{signed.key_id}/{signed.date:%Y%m%d}/{signed.region}/{signed.service}/aws4_request"
    return {
        "wsgi.input": io.BytesIO(request.body),
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=",
    }


def _operation(request: Request, service: str, path: str, body: bytes) -> str:
    if target := request.headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    if service == "scheduler":
        return _scheduler_operation(request.method, path)
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if form or not request.body:
        return parse_qs(body.decode("utf-8", "replace")).get("Action", [""])[0]
    return ""


def _scheduler_operation(method: str, path: str) -> str:
    if path.rstrip("/") == "/schedules":
        return "ListSchedules"
    return _SCHEDULER.get(method, "") if path.startswith("/schedules/") else ""


def form(body: bytes) -> Fields:
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in the body; empty for anything else."""
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def tags_asked(fields: Fields) -> dict[str, Fields]:
    """{"instance": {"Name": ...}} of TagSpecification.N."""
    return {
        value: numbered(fields, name.removesuffix("ResourceType") + "Tag")
        for name, value in fields.items()
        if re.fullmatch(r"TagSpecification\.\d+\.ResourceType", name)
    }


def numbered(fields: Fields, prefix: str) -> Fields:
    """Tags of prefix.1.Key and prefix.1.Value, and so on."""
    keys = {
        name: value for name, value in fields.items() if re.fullmatch(re.escape(prefix) + r"\.\d+\.Key", name)
    }
    return {key: fields.get(name.removesuffix("Key") + "Value", "") for name, key in keys.items()}
