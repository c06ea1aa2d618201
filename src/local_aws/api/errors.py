"""AWS's errors in the format of each kind of service."""

from __future__ import annotations

import json
from typing import Any
from xml.sax.saxutils import escape

from werkzeug.exceptions import HTTPException

QUERY_SERVICES = {"iam", "sts", "cloudformation", "monitoring", "cloudwatch", "sns", "autoscaling"}
_REQUEST_ID = "00000000-0000-4000-8000-000000000000"


class Refused(HTTPException):  # type: ignore[misc]
    """An EC2 error with an HTTP status other than 400; moto's own errors always have 400."""

    def __init__(self, code: str, message: str, *, status: int) -> None:
        super().__init__(ec2_error(code, message))
        self.code = status

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        return [("Content-Type", "text/xml")]


def ec2_error(code: str, message: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error></Errors>"
        f"<RequestID>{_REQUEST_ID}</RequestID></Response>"
    )


def error_answer(service: str, code: str, message: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of an error of that service."""
    if service == "ec2":
        return {"Content-Type": "text/xml"}, ec2_error(code, message).encode()
    if service in QUERY_SERVICES:
        body = (
            "<ErrorResponse><Error><Type>Sender</Type>"
            f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
            f"<RequestId>{_REQUEST_ID}</RequestId></ErrorResponse>"
        )
        return {"Content-Type": "text/xml"}, body.encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amzn-ErrorType": code}
    return headers, json.dumps({"__type": code, "message": message}).encode()
