"""Calls of the embedded cloud's own API below /embedded/, signed with the account owner's key."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as SdkCredentials

from local_aws.credentials import OWN_SERVICE, Credentials, account
from local_aws.files import Files

Answer = tuple[int, bytes]


def signed(
    method: str,
    url: str,
    body: bytes,
    key: Credentials,
    *,
    service: str = OWN_SERVICE,
    content_type: str = "application/json",
) -> dict[str, str]:
    """The headers of that request."""
    headers = {"Content-Type": content_type, "Host": urlsplit(url).netloc}
    request = AWSRequest(method=method, url=url, data=body, headers=headers)
    SigV4Auth(SdkCredentials(key.key_id, key.secret), service, "us-east-1").add_auth(request)
    return dict(request.headers.items())


def send(method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request(method, "/" + url.split("/", 3)[3], body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def ask(home: Path, method: str, path: str, content: Any = None) -> Answer:
    """Send a signed request and return the answer. home: the cloud's folder."""
    files = Files(home)
    url = f"http://127.0.0.1:{json.loads(files.card.read_text())['port']}{path}"
    body = b"" if content is None else json.dumps(content).encode()
    return send(method, url, body, signed(method, url, body, account(files).owner))
