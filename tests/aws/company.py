"""A company's TLS proxy between the laptop and AWS: it decrypts requests and signs with its own certificate.

Behind it is the embedded cloud, under AWS's host names; other names are not resolved.
"""

from __future__ import annotations

import http.client
import os
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_NAMES = ("*.amazonaws.com", "*.us-east-1.amazonaws.com", "*.pricing.us-east-1.amazonaws.com")


@dataclass
class Company:
    address: str  # of the proxy
    certificates: Path  # its own, PEM
    refuses: int = 0  # an HTTP status, for every request
    clock_off: timedelta = timedelta()  # of the Date in AWS's answers


@contextmanager
def company(endpoint: str, folder: Path) -> Iterator[Company]:
    """endpoint: of the embedded cloud. folder: for its certificates."""
    chain, own = _certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    beyond = urlsplit(endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        host = ""

        def do_CONNECT(self) -> None:
            if made.refuses:
                self.send_error(made.refuses)
                return
            self.host = self.path.partition(":")[0]
            self.send_response_only(200)
            self.end_headers()
            try:
                self.connection = context.wrap_socket(self.connection, server_side=True)
            except (ssl.SSLError, OSError):  # the laptop does not trust it
                self.close_connection = True
                return
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            self.close_connection = False

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = "/checkip" if self.host.startswith("checkip.") else self.path
            headers = _to(beyond, self.command, path, body, dict(self.headers.items()))
            there = http.client.HTTPConnection(beyond, timeout=60)
            try:
                there.request(self.command, path, body=body, headers=headers)
                answer = there.getresponse()
                content = answer.read()
            finally:
                there.close()
            self.send_response_only(answer.status)
            self.send_header("Date", format_datetime(datetime.now(UTC) + made.clock_off, usegmt=True))
            self.send_header("Content-Type", answer.getheader("Content-Type", "text/plain"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on

        def finish(self) -> None:
            super().finish()
            self.connection.close()  # the server needs the one without TLS only

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made = Company(f"http://127.0.0.1:{server.server_port}", own)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def _to(host: str, method: str, path: str, body: bytes, headers: dict[str, str]) -> dict[str, str]:
    """For the embedded cloud, which has another name than AWS: a signature is valid for one name only."""
    sent = {k: v for k, v in headers.items() if k.lower() not in ("connection", "host", "authorization")}
    scope = re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/", headers.get("Authorization", ""))
    request = AWSRequest(method, f"http://{host}{path}", headers={**sent, "Host": host}, data=body)
    if scope is not None:
        key = Credentials(scope[1], os.environ["AWS_SECRET_ACCESS_KEY"])
        SigV4Auth(key, scope[3], scope[2]).add_auth(request)
    return dict(request.headers.items())


def _certificates(folder: Path) -> tuple[Path, Path]:
    """Key and certificate for AWS's names, in one file; and the company's CA, which signed it."""
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A Company")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAMES[0])])
    now = datetime.now(UTC)

    def signed(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, root: bool) -> x509.Certificate:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(one) for one in _NAMES])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=root, path_length=None), critical=True)
        )
        return (builder if root else builder.add_extension(alternatives, critical=False)).sign(
            root_key, hashes.SHA256()
        )

    pem = serialization.Encoding.PEM
    own, chain = folder / "company.pem", folder / "proxy.pem"
    own.write_bytes(signed(root_name, root_key.public_key(), root=True).public_bytes(pem))
    chain.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed(name, key.public_key(), root=False).public_bytes(pem)
    )
    return chain, own
