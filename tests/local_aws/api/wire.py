"""Raw HTTP requests, without the SDK's checks."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlencode

from botocore.serialize import create_serializer
from moto.core.utils import get_service_model

from local_aws.api.calls import Call


def as_call(service: str, operation: str, request: dict[str, Any]) -> Call:
    model = get_service_model(service)
    if isinstance(request.get("UserData"), str):
        request = {**request, "UserData": base64.b64encode(request["UserData"].encode()).decode()}
    serializer = create_serializer(model.resolved_protocol, include_validation=False)
    sent = serializer.serialize_to_request(request, model.operation_model(operation))
    body = sent["body"]
    return Call(
        service={"service-quotas": "servicequotas"}.get(service, service),
        operation=operation,
        key_id="",
        region="us-east-1",
        path=sent["url_path"],
        query=urlencode(sent["query_string"]),
        body=body if isinstance(body, bytes) else urlencode(body).encode(),
    )
