"""Connections that are opened before the SDK wants them: as many as the last command made, to those hosts."""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from benchmarks.tls import Far, far
from botocore.awsrequest import AWSHTTPSConnection

from gpu_box.aws import early
from gpu_box.aws.client import Cloud
from gpu_box.aws.early import Connections
from gpu_box.aws.observe import observe
from gpu_box.config.model import Config
from gpu_box.errors import CloudError


@pytest.fixture
def place(aws: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    """The embedded cloud, over TLS."""
    port = urlsplit(aws["AWS_ENDPOINT_URL"]).port
    assert port
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with far(port, 0, tmp_path / "tls") as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.endpoint)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(found.authority))
        yield found


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, int, int]]:
    """`run()`: what `status` reads. Returns how many connections it opened early, wanted, and made in all."""
    ends: list[Callable[[], object]] = []
    made: set[AWSHTTPSConnection] = set()  # a connection that was closed may connect again
    connect = AWSHTTPSConnection.connect

    def noted(self: AWSHTTPSConnection) -> None:
        made.add(self)
        connect(self)

    monkeypatch.setattr(AWSHTTPSConnection, "connect", noted)
    monkeypatch.setattr(atexit, "register", lambda function, *words: ends.append(lambda: function(*words)))

    def once(command: str = "status") -> tuple[int, int, int]:
        connections = Connections(command)
        connections.open()
        opened = sum(map(len, connections._opened.values()))
        observe(Cloud(Config(region="us-east-1"), connections=connections), need="status")
        while ends:
            ends.pop()()
        left = [future for futures in connections._opened.values() for future in futures]
        for future in left:
            if (unused := future.result()) is not None:
                unused.close()
        total = len(made)
        made.clear()
        return opened, sum(connections._made.values()), total

    return once


def test_the_second_command_uses_what_was_opened_for_it_and_opens_no_more(
    place: Far, run: Callable[..., tuple[int, int, int]]
) -> None:
    opened, wanted, made = run()
    assert opened == 0 and made == wanted > 3
    opened, again, made = run()
    assert opened == wanted
    assert made == max(opened, again), "an upgrade of botocore or urllib3 does not take them"
    assert run("up")[0] == again, "the first of another kind does as the last of any"


def test_switched_off_it_opens_nothing(
    place: Far, run: Callable[..., tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setattr(early, "EARLY", False)
    assert run()[0] == 0


def test_nothing_is_opened_past_a_proxy(
    place: Far, run: Callable[..., tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    connections = Connections("status")
    connections.open()
    assert not connections._opened


def test_a_host_that_is_not_trusted_any_more_is_refused(
    place: Far, run: Callable[..., tuple[int, int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The early connection fails without a word; the SDK's own says why."""
    run()
    other = tmp_path / "other"
    port = urlsplit(place.endpoint).port
    assert port
    with far(port, 0, other) as stranger:
        place.authority.write_bytes(stranger.authority.read_bytes())
        with pytest.raises(CloudError, match="certificate"):
            run()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": [["x", 1, "b", -1]]}', '{"a": 5}', "\x00"])
def test_a_damaged_note_is_ignored_and_written_anew(
    place: Far, run: Callable[..., tuple[int, int, int]], text: str
) -> None:
    path = early._file()
    assert path
    path.write_text(text)
    assert run()[0] == 0
    assert run()[0] > 3


def test_the_note_is_small_and_names_no_setting(
    place: Far, run: Callable[..., tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "")
    for number in range(early._KEPT + 5):
        connections = Connections(f"command-{number}", "us-west-9")
        connections._made[early._Place("a.example", 443, "/bundle")] = 100
        path = early._file()
        assert path
        connections._remember(path)
    kept = json.loads(path.read_text())
    assert len(kept) == early._KEPT
    assert "us-west-9" not in path.read_text()
    assert kept[connections._key] == [["a.example", 443, "/bundle", early._MOST]]
