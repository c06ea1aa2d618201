"""An embedded cloud in the test's process, with a callback at every change and fast snapshots.

It answers over HTTP on loopback like the daemon; this process can also call it directly. Its instances have
no machines unless they are requested, because most of a walk's calls end where SSH begins.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from gpu_box.resources import local_policies
from local_aws import install
from local_aws.credentials import account
from local_aws.files import Files
from local_aws.iam.authorization import operator_policy
from local_aws.machines.machine import Boot, Machine
from local_aws.reconciler import Reconciler
from local_aws.world import World


class Nothing:
    """A machine without SSH."""

    def __init__(self, instance_id: str, folder: Path) -> None:
        self.disk = folder / "home"
        self._up = False

    def start(self, boot: Boot) -> int:
        self._up = True
        return 22

    def stop(self) -> None:
        self._up = False

    def destroy(self) -> None:
        self._up = False

    def alive(self) -> bool:
        return self._up

    def console(self) -> bytes:
        return b""

    def cut(self, cut: bool) -> None: ...


class Body:
    """The raw response object that botocore reads."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> list[bytes]:
        return [self._content]


class Inside:
    """watched: called after every possible change, with the cloud's lock held."""

    def __init__(self, home: Path, watched: Callable[[], None]) -> None:
        os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"
        install.install()
        from local_aws import server, state
        from local_aws.api.app import Cloud
        from local_aws.machines.process.process import ProcessMachine

        os.environ["MOTO_AMIS_PATH"] = str(Path(install.__file__).with_name("no_amis.json"))

        class Watched(World):
            def settle(self) -> bool:
                changed = super().settle()
                if changed:
                    watched()
                return changed

        class Unsaved(state.State):
            """A state that is never written to disk."""

            def save(self) -> None: ...

        def kind(instance_id: str, folder: Path) -> Machine:
            return ProcessMachine(instance_id, folder) if self.machines else Nothing(instance_id, folder)

        def changed() -> None:
            watched()
            self._reconciler.wake()

        self.machines = False  # whether new instances get real machines
        files = Files(home)
        files.folder.mkdir(parents=True)
        own, policy = account(files), operator_policy(*local_policies())
        self.world, kept = Watched(), Unsaved(files.state)
        self._reconciler = Reconciler(self.world, kept, kind, files.machines)
        self._app = Cloud(self.world, kept, own, policy, changed=changed)
        self._server = server.serving(self._app, server.listening(0))
        endpoint = f"http://127.0.0.1:{self._server.port}"
        self.exports = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": own.operator.key_id,
            "AWS_SECRET_ACCESS_KEY": own.operator.secret,
            "GPU_BOX_CHECKIP_URL": f"{endpoint}/checkip",
        }
        self._reconciler.start()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, request: AWSPreparedRequest) -> AWSResponse:
        """The answer to a request, without HTTP."""
        url, body = urlsplit(request.url), request.body or b""
        sent = body if isinstance(body, bytes) else str(body).encode()
        headers = {name: _text(value) for name, value in request.headers.items()}
        environ = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(url.path) or "/",
            "REQUEST_URI": url.path + (f"?{url.query}" if url.query else ""),
            "QUERY_STRING": url.query,
            "SERVER_NAME": url.hostname,
            "SERVER_PORT": str(url.port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": url.netloc,
            "CONTENT_LENGTH": str(len(sent)),
            "CONTENT_TYPE": headers.get("Content-Type", ""),
            "wsgi.input": io.BytesIO(sent),
            "wsgi.url_scheme": url.scheme,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.version": (1, 0),
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
        }
        head: list[Any] = []
        content = b"".join(self._app(environ, lambda status, headers: head.extend((status, headers))))
        return AWSResponse(request.url, int(head[0].split()[0]), dict(head[1]), Body(content))

    def snapshot(self) -> bytes:
        from local_aws.state import dumped

        with self.world.lock:
            return dumped()

    def restore(self, snapshot: bytes) -> None:
        """Replace the state by a snapshot."""
        from local_aws.moto_inside import loaded_backends
        from local_aws.state import NOT_KEPT, load

        with self.world.lock:
            for backends in loaded_backends():
                if backends.service_name not in NOT_KEPT:
                    for regions in backends.values():
                        regions.clear()
            load(snapshot)
        self._reconciler.wake()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._reconciler.stop()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
