"""The certificates that AWS's answers are checked with, read once for each client.

botocore gives the path of its bundle to each new connection, which then reads and parses it: 14 ms of CPU
time each, for the seven connections of `status`. Private names of botocore and urllib3 are used here only.
"""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakKeyDictionary

from gpu_box.aws.early import Connections

_VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")  # in the SDK's order
# Of OpenSSL, for a file without a certificate; an SSLError has no errno for it.
_NO_CERTIFICATE = ("NO_CERTIFICATE_OR_CRL_FOUND", "[X509", "PEM lib", "NO_START_LINE")


def bundle() -> tuple[str, str]:
    """The variable that names a bundle, and the bundle; empty without one. `ca_bundle` of a profile is not
    looked for.
    """
    return next(((name, path) for name in _VARIABLES if (path := os.environ.get(name))), ("", ""))


def fault(path: str, reason: str) -> str:
    """What is wrong with the bundle, or "". path: the bundle's, or ""; reason: of the failed connection."""
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return ""
    if os.path.isdir(path) or "Is a directory" in reason:
        return "is a folder, not a file"
    if any(word in reason for word in _NO_CERTIFICATE):
        return "has no certificate in PEM"
    if any(word in reason for word in ("No such file", "Permission denied")):
        return "cannot be read"
    return ""


def read_once(client: Any, connections: Connections | None = None) -> None:
    """connections: which new ones may be taken from."""
    session = client._endpoint.http_session
    ask = session._setup_ssl_cert
    lock = threading.Lock()
    pools: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # to what `verify` was when it was set up
    trusted: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # a TLS context to the bundle that it has read

    def set_up(pool: Any, url: str, verify: Any) -> None:
        # Once for each pool: another thread may be connecting from it.
        with lock:
            if pool in pools and pools[pool] == verify:
                return
            ask(pool, url, verify)
            context = pool.conn_kw.get("ssl_context")
            # To a proxy that speaks TLS itself, urllib3 connects with a context of its own.
            own_context = pool.proxy and pool.proxy.scheme == "https"
            if pool.ca_certs and context is not None and not own_context:
                if trusted.get(context) != str(pool.ca_certs):
                    _read(context, pool.ca_certs)
                    trusted[context] = str(pool.ca_certs)
                if connections and not pool.proxy and not pool.cert_file and pool not in pools:
                    connections.serve(pool, str(pool.ca_certs))
                pool.ca_certs = None
            pools[pool] = verify

    session._setup_ssl_cert = set_up


def _read(context: Any, bundle: str) -> None:
    from urllib3.exceptions import SSLError

    try:
        context.load_verify_locations(bundle)
    except OSError as error:
        raise SSLError(error) from error  # as urllib3 does
