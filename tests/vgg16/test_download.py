"""A download that breaks off goes on where it was; other content never gets the file's name."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vgg16.data.download import DownloadFailed, download

CONTENT = bytes(range(256)) * 20_000  # 5 MB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; breaks the first `breaks` answers off in the middle; ranges as servers do, or not."""

    daemon_threads = True
    breaks = 0
    ranges = True
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file.pth"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)
        self.server.sent += len(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def test_it_arrives_whole(server: Server, tmp_path: Path) -> None:
    download(server.url, tmp_path / "sub" / "file.pth", sha256_prefix=DIGEST[:8], say=lambda line: None)
    assert (tmp_path / "sub" / "file.pth").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["file.pth"]


def test_a_broken_connection_is_continued_not_begun_anew(server: Server, tmp_path: Path) -> None:
    server.breaks = 2
    download(server.url, tmp_path / "file.pth", sha256_prefix=DIGEST[:8], say=lambda line: None)
    assert (tmp_path / "file.pth").read_bytes() == CONTENT
    assert server.asked[0] is None and all(wanted for wanted in server.asked[1:])
    assert server.sent == len(CONTENT)  # nothing came twice


def test_a_killed_download_goes_on_in_the_next_run(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.pth.part").write_bytes(CONTENT[:3_000_000])
    download(server.url, tmp_path / "file.pth", sha256_prefix=DIGEST[:8], say=lambda line: None)
    assert (tmp_path / "file.pth").read_bytes() == CONTENT
    assert server.asked == ["bytes=3000000-"]


def test_a_download_killed_just_before_its_renaming_needs_no_byte(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.pth.part").write_bytes(CONTENT)
    download(server.url, tmp_path / "file.pth", sha256_prefix=DIGEST[:8], say=lambda line: None)
    assert (tmp_path / "file.pth").read_bytes() == CONTENT
    assert server.sent == 0


def test_a_bar_shows_how_far_it_is_from_where_it_goes_on(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vgg16.data.download._SAY_EVERY_S", -1.0)
    (tmp_path / "file.pth.part").write_bytes(CONTENT[: len(CONTENT) // 2])
    said: list[str] = []
    download(server.url, tmp_path / "file.pth", sha256_prefix=DIGEST[:8], say=said.append)
    assert said[0] == f"fetching {server.url}"
    assert said[1].startswith("file.pth: [############") and said[1].endswith("of 5 MB")
    assert said[-1] == f"file.pth: [{'#' * 24}] 5 of 5 MB"


def test_a_server_that_cannot_resume_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "file.pth.part").write_bytes(b"x" * 1000)
    download(server.url, tmp_path / "file.pth", sha256_prefix=DIGEST[:8], say=lambda line: None)
    assert (tmp_path / "file.pth").read_bytes() == CONTENT


def test_other_content_never_takes_the_name(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="what came is not the file"):
        download(server.url, tmp_path / "file.pth", sha256_prefix="00000000", say=lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_not_asked_for_again_and_again(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DownloadFailed, match="HTTP 404"):
        download(server.url, tmp_path / "file.pth", say=lambda line: None)
    assert len(server.asked) == 1
