"""The certificates that AWS's answers are checked with, read once for each client.

botocore gives the path of its bundle to each new connection, which then reads and parses it: 14 ms of CPU
time each, for the seven connections of `status`. Private names of botocore and urllib3 are used here only.
"""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary


def read_once(client: Any) -> None:
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
                pool.ca_certs = None
            pools[pool] = verify

    session._setup_ssl_cert = set_up


def _read(context: Any, bundle: str) -> None:
    from urllib3.exceptions import SSLError

    try:
        context.load_verify_locations(bundle)
    except OSError as error:
        raise SSLError(error) from error  # as urllib3 does
