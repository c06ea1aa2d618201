"""AWS at the end of a long line: TLS in front of a local HTTP server, and a relay that adds round trips.

    python -m benchmarks.tls PORT CERTIFICATE KEY

It prints its port. `far` starts it behind `latency`'s relay, which delays TCP's handshake, too.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .latency import link

_HOST = "127.0.0.1"
_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Far:
    endpoint: str
    authority: Path  # for AWS_CA_BUNDLE


@contextmanager
def far(port: int, round_trip_ms: float, folder: Path) -> Iterator[Far]:
    """What listens at `port`, over TLS and a line of that length. folder: for the certificate."""
    certificate, key = _certify(folder)
    words = [sys.executable, "-m", "benchmarks.tls", str(port), str(certificate), str(key)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            with link(int(process.stdout.readline()), round_trip_ms, handshake=True) as line:
                yield Far(f"https://{_HOST}:{line.port}", certificate)
        finally:
            process.terminate()


def _certify(folder: Path) -> tuple[Path, Path]:
    """A certificate for this computer that is its own authority, and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if certificate.exists():
        return certificate, key
    private, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmarks")]),
    )
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(_HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return certificate, key


async def _serve(port: int, certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def relay(near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        far, to_far = await asyncio.open_connection(_HOST, port)
        await asyncio.gather(_pump(near, to_far), _pump(far, to_near))

    server = await asyncio.start_server(relay, _HOST, 0, ssl=context, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while piece := await source.read(_CHUNK_BYTES):
            sink.write(piece)
            await sink.drain()
    with suppress(OSError, ssl.SSLError):
        sink.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), *sys.argv[2:]))
