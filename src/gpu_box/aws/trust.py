"""The certificates that AWS's answers are checked with, read once for each client.

botocore gives the path of its bundle to each new connection, which then reads and parses it: 14 ms of CPU
time each, for the seven connections of `status`. Private names of botocore and urllib3 are used here only.
"""

from __future__ import annotations

import threading
from typing import Any


def read_once(client: Any) -> None:
    session = client._endpoint.http_session
    ask = session._setup_ssl_cert
    lock, trusted = threading.Lock(), set[tuple[int, str]]()

    def set_up(pool: Any, url: str, verify: Any) -> None:
        ask(pool, url, verify)
        context = pool.conn_kw.get("ssl_context")
        # To a proxy that speaks TLS itself, urllib3 connects with a context of its own.
        if not pool.ca_certs or context is None or (pool.proxy and pool.proxy.scheme == "https"):
            return
        with lock:
            if (known := (id(context), str(pool.ca_certs))) not in trusted:
                _read(context, pool.ca_certs)
                trusted.add(known)
        pool.ca_certs = None

    session._setup_ssl_cert = set_up


def _read(context: Any, bundle: str) -> None:
    from urllib3.exceptions import SSLError

    try:
        context.load_verify_locations(bundle)
    except OSError as error:
        raise SSLError(error) from error  # as urllib3 does
