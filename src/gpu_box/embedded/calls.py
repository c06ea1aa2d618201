"""Which AWS call an HTTP request is: (service, operation)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

_READS = ("Describe", "Get", "List", "Head", "Simulate", "Lookup")
_SCHEDULER = {
    "GET": "GetSchedule",
    "POST": "CreateSchedule",
    "PUT": "UpdateSchedule",
    "DELETE": "DeleteSchedule",
}


@dataclass(frozen=True, kw_only=True)
class Call:
    service: str  # as in the request's signature: "ec2", "iam", "scheduler"; "" for an unsigned request
    operation: str  # "RunInstances"; "" where it cannot be told
    key_id: str  # the access key that signed it; "" for an unsigned request
    region: str  # that it was signed for
    path: str
    body: bytes

    @property
    def changes(self) -> bool:
        return not self.operation.startswith(_READS)


def identify(environ: dict[str, Any]) -> Call:
    """Reads the body and puts it back."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    key_id, region, service = _signed_by_and_for(environ.get("HTTP_AUTHORIZATION", ""))
    return Call(
        service=service,
        operation=_operation(environ, service, body),
        key_id=key_id,
        region=region,
        path=environ.get("PATH_INFO", "/"),
        body=body,
    )


def _operation(environ: dict[str, Any], service: str, body: bytes) -> str:
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return str(target).rpartition(".")[2]
    if service == "scheduler":
        return _scheduler_operation(environ["REQUEST_METHOD"], environ["PATH_INFO"])
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return parse_qs(body.decode("utf-8", "replace")).get("Action", [""])[0]
    return ""


def _signed_by_and_for(authorization: str) -> tuple[str, str, str]:
    # "AWS4-HMAC-SHA256 Credential=AKID/20261123/us-east-1/ec2/aws4_request, SignedHeaders=..."
    scope = authorization.partition("Credential=")[2].partition(",")[0].split("/")
    return (scope[0], scope[2], scope[3].lower()) if len(scope) == 5 else ("", "", "")


def _scheduler_operation(method: str, path: str) -> str:
    if path.rstrip("/") == "/schedules":
        return "ListSchedules"
    return _SCHEDULER.get(method, "") if path.startswith("/schedules/") else ""
