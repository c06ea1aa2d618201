"""The daemon's process: restores the cloud, serves it, runs the reconciler, and ends when it is unused."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

from local_aws.connections import connections, raise_file_limit
from local_aws.credentials import account
from local_aws.daemon import REFUSED_EXIT_CODE, read_card
from local_aws.failure import Failure
from local_aws.files import Files, make_private, write_private

_LINGER_S = 600.0  # without a box and without a call
_TICK_S = 1.0
_REQUEST_S = 20.0  # for a whole request
_LOG_BYTES = 1_000_000  # at which the log is rotated; one old log is kept
_LOOPBACK = "127.0.0.1"  # never another address


def main(home: Path, *, policies: Sequence[Path]) -> None:
    """policies: files with the operator's IAM policies."""
    files = Files(home)
    try:
        make_private(files.folder)
    except Failure as error:
        _refuse(str(error))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    _read_once()
    raise_file_limit()
    with files.life.open("ab") as life:
        _live_alone(life)
        _keep_small(files.log)
        _serve(files, _listen(files), _machines(files), policies)


def _read_once() -> None:
    """Cache the SDK's data files: moto makes several SDK sessions at import, which would read them anew."""
    import botocore.session

    botocore.session.create_loader = cache(botocore.session.create_loader)


def _live_alone(life: IO[bytes]) -> None:
    try:
        fcntl.flock(life, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _refuse("another daemon of this folder is up")
    life.truncate(0)
    life.write(str(os.getpid()).encode())
    life.flush()


def _listen(files: Files) -> socket.socket:
    """Listen at the saved port, since a shell may have the endpoint in its environment.

    If another program has taken it, listen at a new one.
    """
    remembered = int(read_card(files).get("port", 0))
    try:
        return listening(remembered)
    except OSError as error:
        logging.getLogger(__name__).warning("port %s of %s: %s", remembered, _LOOPBACK, error)
        return listening(0)


def listening(port: int) -> socket.socket:
    """port: 0 for any. Raises OSError if it is taken."""
    return socket.create_server((_LOOPBACK, port), backlog=128)


def serving(app: Any, listener: socket.socket) -> Any:
    """An HTTP server for a WSGI application, not yet running; it takes over the listener."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import ThreadedWSGIServer

    class Handler(MotoRequestHandler):  # type: ignore[misc]
        def setup(self) -> None:
            super().setup()
            self.rfile = io.BufferedReader(_Until(self.connection, time.monotonic() + _REQUEST_S))

        def log(self, *args: Any) -> None:
            pass

        def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
            self.close_connection = True  # do not wait for another request

    class Server(ThreadedWSGIServer):  # type: ignore[misc]
        def process_request(self, request: Any, client_address: Any) -> None:
            connections().add(request, listener=self)
            super().process_request(request, client_address)

        def shutdown_request(self, request: Any) -> None:
            connections().remove(request)
            super().shutdown_request(request)

    port = listener.getsockname()[1]
    server = Server(_LOOPBACK, port, app, Handler, fd=listener.fileno())
    listener.close()  # the server has a copy
    return server


class _Until(io.RawIOBase):
    """Reads from a socket until a deadline, in monotonic seconds; then raises TimeoutError."""

    def __init__(self, connection: socket.socket, end: float) -> None:
        self._connection = connection
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request did not arrive in time")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def _machines(files: Files) -> str:
    """The kind asked for; while there are machines, their kind."""
    asked = os.environ.get("GPU_BOX_MACHINES")
    before = read_card(files).get("machines")
    if before and files.machines.is_dir() and any(files.machines.iterdir()):
        if asked and asked != before:
            _refuse(f"there are {before} machines in {files.machines}: they cannot become {asked} machines")
        return str(before)
    return asked or "process"


def _serve(files: Files, listener: socket.socket, machines: str, policies: Sequence[Path]) -> None:
    # Imported here: it takes two seconds, which a refusal above need not wait for.
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"  # no web page may call this
    os.environ.setdefault("MOTO_AMIS_PATH", str(Path(__file__).with_name("no_amis.json")))
    from local_aws import install
    from local_aws.api.app import Cloud
    from local_aws.ec2.consoles import read_consoles_with
    from local_aws.iam.authorization import operator_policy
    from local_aws.machines.kinds import kind_of
    from local_aws.reconciler import Reconciler
    from local_aws.state import State
    from local_aws.world import World

    install.install()
    state, world = State(files.state), World()
    try:
        kind = kind_of(machines)  # builds the root image of nspawn machines if needed
        state.restore()
    except Failure as error:
        _refuse(str(error))
    except ValueError as error:
        _refuse(
            f"the saved state cannot be read ({error}). Remove {files.folder} to start with an empty cloud."
        )
    reconciler = Reconciler(world, state, kind, files.machines)
    read_consoles_with(reconciler.console)
    cloud = Cloud(world, state, account(files), operator_policy(*policies), changed=reconciler.wake)
    server = serving(cloud, listener)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    reconciler.start()
    # Before the first answer: a client that reads the old card would stop the old process.
    _write_card(files, port=server.port, machines=machines)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    linger = float(os.environ.get("GPU_BOX_EMBEDDED_LINGER_S", _LINGER_S))
    while not over.wait(_TICK_S):
        _keep_small(files.log)
        if not world.boxes() and time.monotonic() - cloud.last_call > linger:
            break
    server.shutdown()
    server.server_close()
    reconciler.stop()
    with world.lock:
        state.save()


def _keep_small(log: Path) -> None:
    """Rotate a long log in place, because it is this process's standard error."""
    with suppress(OSError):
        if not os.path.samestat(log.stat(), os.fstat(2)) or log.stat().st_size < _LOG_BYTES:
            return
        with suppress(OSError):  # no file can be opened, or the disk is full
            shutil.copyfile(log, log.with_suffix(".log.old"))
        os.ftruncate(2, 0)


def _write_card(files: Files, *, port: int, machines: str) -> None:
    started = datetime.now(UTC).isoformat()
    card = {"pid": os.getpid(), "port": port, "started": started, "machines": machines}
    write_private(files.card, json.dumps(card).encode())


def _refuse(why: str) -> NoReturn:
    print(why, file=sys.stderr, flush=True)
    raise SystemExit(REFUSED_EXIT_CODE)
