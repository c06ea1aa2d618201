"""STS, IAM Identity Center and AWS Sign-In on loopback: their answers, and a record of the requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # AWS's own example
TOKEN = "FQoGZXIvYXdzEJr1K8GZ0q2u3VtQ7pLwXb4Nc9dHs6Rk" * 3
LATER, BEFORE = "2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
KEYS = {"accessKeyId": "ASIAIOSFODNN7EXAMPLE", "secretAccessKey": SECRET, "sessionToken": TOKEN}
_STS = """<{0}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{0}Result>{1}</{0}Result>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{0}Response>"""
_ROLE = f"""<Credentials><AccessKeyId>{KEYS["accessKeyId"]}</AccessKeyId>
<SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{TOKEN}</SessionToken><Expiration>{LATER}</Expiration></Credentials>
<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/gpu/ada</Arn>
<AssumedRoleId>A:ada</AssumedRoleId></AssumedRoleUser>"""
_ERROR = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>{}</Code><Message>{}</Message></Error><RequestId>1</RequestId></ErrorResponse>"""


@dataclass
class Services:
    url: str = ""
    asked: list[str] = field(default_factory=list)  # operations
    codes: list[str] = field(default_factory=list)  # MFA codes
    refuse: dict[str, tuple[int, str, str]] = field(default_factory=dict)  # operation: status, code, message

    def answer(self, path: str, body: str) -> tuple[int, str, str]:
        """Status, headers' error type, body."""
        form = parse_qs(body)
        operation = {
            "/federation/credentials": "GetRoleCredentials",
            "/token": "CreateToken",
            "/v1/token": "CreateOAuth2Token",
        }.get(urlsplit(path).path) or form.get("Action", [path])[0]
        self.asked.append(operation)
        self.codes += form.get("TokenCode", [])
        if operation in self.refuse:
            status, code, message = self.refuse[operation]
            if form:
                return status, code, _ERROR.format(code, message)
            return status, code, json.dumps({"message": message, "error": message})
        if form:
            result = "<Arn>arn:aws:iam::123456789012:user/ada</Arn><Account>123456789012</Account>"
            return 200, "", _STS.format(operation, _ROLE if "AssumeRole" in operation else result)
        answers: dict[str, Any] = {
            "GetRoleCredentials": {"roleCredentials": {**KEYS, "expiration": 4070908800000}},
            "CreateToken": {"accessToken": TOKEN, "expiresIn": 3600},
            "CreateOAuth2Token": {
                "accessToken": KEYS, "tokenType": "aws_sigv4", "expiresIn": 900, "refreshToken": "next"
            },
        }  # fmt: skip
        return 200, "", json.dumps(answers.get(operation, {}))


@contextmanager
def serving() -> Iterator[Services]:
    services = Services()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            status, code, answer = services.answer(self.path, body)
            self.send_response(status)
            if code:
                self.send_header("x-amzn-errortype", code)
            self.send_header("Content-Type", "application/json" if answer.startswith("{") else "text/xml")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        do_GET = do_PUT = do_POST

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    services.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield services
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
