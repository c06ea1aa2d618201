"""Connections to AWS that are opened while the SDK is still being imported and makes its clients.

The handshakes of TCP and TLS take two round trips before a request can leave. Each command notes how many
connections it made to which host; the next one with the same settings opens as many at its start. Nothing is
sent on them until the SDK wants a connection to that host with the same certificates.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from gpu_box.files import write_whole
from gpu_box.store.files import GARBAGE, cache_home

EARLY = True  # False: the SDK opens every connection itself
_MOST = 32  # connections
_KEPT = 50  # kinds of commands in the file
_CONNECT_S = 5.0
_FRESH_S = 8.0  # no server has closed a new connection in that time
_VARIABLES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE")


class _Place(NamedTuple):
    host: str
    port: int
    bundle: str  # path of the certificates that are trusted


class Connections:
    """Those of one command. Thread-safe."""

    def __init__(self, command: str, *settings: str | None) -> None:
        """command, settings: what decides which hosts are asked, with the environment."""
        named = [os.environ.get(name) for name in _VARIABLES]
        endpoints = sorted(item for item in os.environ.items() if item[0].startswith("AWS_ENDPOINT_URL"))
        words = json.dumps([settings, named, endpoints])
        self._settings = sha256(words.encode()).hexdigest()[:32]
        self._key = f"{self._settings} {command}"
        self._opened: dict[_Place, list[Future[Any]]] = defaultdict(list)
        self._made = Counter[_Place]()
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def open(self) -> None:
        """Begin to open those of the last command of this kind, or else of another kind, in threads."""
        if not EARLY or (path := _file()) is None:
            return
        atexit.register(self._remember, path)
        known = {key: places for key, places in _read(path).items() if key.startswith(self._settings)}
        if not known:
            return
        places = known.get(self._key) or max(known.values(), key=lambda each: sum(each.values()))
        from urllib.request import getproxies

        # Imported before the threads: two of them that import can wait for each other.
        from botocore.awsrequest import AWSHTTPSConnection
        from botocore.httpsession import create_urllib3_context

        if getproxies():
            return
        for bundle in {place.bundle for place in places}:
            context = create_urllib3_context()
            work: list[tuple[Any, Future[Any]]] = []
            for place, count in places.items():
                if place.bundle == bundle:
                    self._opened[place] = [Future() for _ in range(count)]
                    for future in self._opened[place]:
                        connection = AWSHTTPSConnection(
                            place.host,
                            place.port,
                            timeout=_CONNECT_S,
                            ssl_context=context,
                            cert_reqs="CERT_REQUIRED",
                        )
                        work.append((connection, future))
            threading.Thread(target=_open, args=(context, bundle, work), daemon=True).start()

    def serve(self, pool: Any, bundle: str) -> None:
        """Let urllib3's pool take from these when it needs a new connection. bundle: what it trusts."""
        place, make = _Place(pool.host, pool.port, bundle), pool.ConnectionCls

        def new(**options: Any) -> Any:
            with self._lock:
                self._made[place] += 1
                opened = self._opened[place].pop() if self._opened[place] else None
            if opened and (found := opened.result()):
                # Whether the other end has closed it cannot be seen: TLS 1.3 sends a ticket after the
                # handshake, so there is something to read in either case.
                if time.monotonic() - self._began < _FRESH_S:
                    return found
                found.close()
            return make(**options)

        pool.ConnectionCls = new

    def _remember(self, path: Path) -> None:
        """Note what this command made, if that is something new."""
        made = {place: min(count, _MOST) for place, count in self._made.items()}
        known = _read(path)
        if made and made != known.get(self._key):
            kept = {
                **{key: known[key] for key in list(known)[1 - _KEPT :] if key != self._key},
                self._key: made,
            }
            text = {key: [[*place, count] for place, count in places.items()] for key, places in kept.items()}
            with suppress(OSError):
                write_whole(path, json.dumps(text))


def _open(context: Any, bundle: str, work: Sequence[tuple[Any, Future[Any]]]) -> None:
    try:
        context.load_verify_locations(bundle)
    except (OSError, ValueError):  # the SDK's own connection will say so
        for _, future in work:
            future.set_result(None)
        return
    for connection, future in work:
        threading.Thread(target=_connect, args=(connection, future), daemon=True).start()


def _connect(connection: Any, future: Future[Any]) -> None:
    """Set the result to the connection, or to None: the SDK tries again and reports why it fails."""
    made = None
    try:
        connection.connect()
        made = connection
    except Exception:
        pass
    finally:
        future.set_result(made)


def _file() -> Path | None:
    cache = cache_home()
    return None if cache is None else cache / "connections.json"


def _read(path: Path) -> dict[str, dict[_Place, int]]:
    """What earlier commands made; empty if the file is missing or damaged."""
    try:
        found: dict[str, dict[_Place, int]] = {}
        for key, places in json.loads(path.read_text(encoding="utf-8")).items():
            one = {_Place(str(host), int(port), str(bundle)): int(n) for host, port, bundle, n in places}
            if sum(one.values()) <= _MOST and min(one.values()) > 0:
                found[key] = one
        return found
    except GARBAGE:
        return {}
