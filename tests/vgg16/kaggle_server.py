"""The part of Kaggle's API that the `kaggle` package uses, on loopback: download and submission.

Paths, fields and the redirect to a storage address are those of kagglesdk's
`competitions.CompetitionApiService`; the storage side knows ranges, as Google's does.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, KEY = "ada", "0123456789abcdef"
COMPETITION = "dogs-vs-cats-redux-kernels-edition"
_SERVICE = "/v1/competitions.CompetitionApiService/"
_DATE = "Thu, 01 Sep 2016 00:00:00 GMT"


class KaggleServer(ThreadingHTTPServer):
    """archive: what `DownloadDataFiles` leads to. submissions: (file, message) as they were handed in."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.archive = b""
        self.sent = 0  # bytes of the archive, over all requests
        self.break_after: int | None = None  # bytes of the next answer with it; then the line is cut
        self.rules_accepted = True
        self.uploads: dict[str, tuple[str, bytes]] = {}
        self.submissions: list[tuple[str, bytes, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running() -> Iterator[KaggleServer]:
    with KaggleServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: KaggleServer

    def do_POST(self) -> None:
        fields = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        expected = "Basic " + base64.b64encode(f"{USER}:{KEY}".encode()).decode()
        if self.headers.get("Authorization") != expected:
            return self._json(401, {"code": 401, "message": "Unauthenticated"})
        if fields.get("competitionName") != COMPETITION:
            return self._json(404, {"code": 404, "message": "No such competition"})
        if not self.server.rules_accepted:
            return self._json(403, {"code": 403, "message": "You must accept this competition's rules"})
        call = self.path.removeprefix(_SERVICE)
        if call == "DownloadDataFiles":
            self.send_response(302)
            self.send_header("Location", f"{self.server.url}/storage/all/redux.zip?signature=x")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif call == "StartSubmissionUpload":
            token = f"token-{len(self.server.uploads)}"
            self.server.uploads[token] = (fields["fileName"], b"")
            self._json(200, {"token": token, "createUrl": f"{self.server.url}/upload/{token}"})
        elif call == "CreateSubmission":
            name, content = self.server.uploads[fields["blobFileTokens"]]
            self.server.submissions.append((name, content, fields["submissionDescription"]))
            self._json(200, {"message": f"Successfully submitted to {COMPETITION}", "ref": 1})
        else:
            self._json(501, {"code": 501, "message": f"{self.path} is not spoken here"})

    def do_PUT(self) -> None:
        token = self.path.removeprefix("/upload/")
        name, _ = self.server.uploads[token]
        self.server.uploads[token] = (name, self.rfile.read(int(self.headers["Content-Length"])))
        self._json(200, {})

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        body = self.server.archive[start:]
        self.send_response(206 if start else 200)
        for name, value in {
            "Content-Type": "application/zip",
            "Content-Length": str(len(body)),
            "Accept-Ranges": "bytes",
            "ETag": '"one"',
            "Last-Modified": _DATE,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.server.break_after is not None:
            body, self.server.break_after = body[: self.server.break_after], None
            self.close_connection = True
        self.wfile.write(body)
        self.server.sent += len(body)

    def _json(self, status: int, fields: dict[str, object]) -> None:
        body = json.dumps(fields).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
