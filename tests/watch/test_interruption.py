"""A spot machine that AWS takes back: its notice read, people and jobs told, off before AWS does it."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from watcher_box import until

from watch.interruption import AHEAD, forced_after, message, seconds_left
from watch.read.moment import unix_time
from watch.read.spot import Metadata, Notice, parse


@pytest.mark.parametrize(
    ("stamp", "wall"),
    [("1970-01-01T00:00:00Z", 0), ("2024-02-29T23:59:59Z", 1709251199), ("2026-11-23T19:50:07Z", 1795463407)],
)
def test_a_moment_is_read_as_the_calendar_has_it(stamp, wall):
    assert unix_time(stamp) == wall


@pytest.mark.parametrize("text", ["", "{}", "[]", "<html>", '{"action": "stop", "time": "soon"}'])
def test_what_is_no_notice_is_none(text):
    with pytest.raises(ValueError):
        parse(text)


def test_it_is_off_before_aws_takes_it_and_not_long_before():
    assert seconds_left(Notice("stop", 1120.0), 1000.0) == 120.0 - AHEAD
    assert seconds_left(Notice("stop", 1004.0), 1000.0) == 3.0
    assert seconds_left(Notice("stop", 990.0), 1000.0) == 0.0


@pytest.mark.parametrize("at", [1120.0, 1040.0, 1016.0])
def test_a_shutdown_that_hangs_is_forced_before_aws_takes_it(at):
    notice = Notice("stop", at)
    assert 1000.0 + seconds_left(notice, 1000.0) + forced_after(notice, 1000.0) < at


def test_people_are_told_when_and_what_becomes_of_their_work():
    assert message(100.0).startswith("AWS takes this spot machine back: it stops in 100 s, and its disk")


class Answers(BaseHTTPRequestHandler):
    """The metadata service as the EC2 User Guide has it, as far as the watcher goes."""

    def do_PUT(self):
        self.server.tokens.append(f"token-{len(self.server.tokens)}")
        self._say(200, self.server.tokens[-1])

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.headers["X-aws-ec2-metadata-token"] != self.server.tokens[-1]:
            self._say(401, "")
        else:
            self._say(200 if self.server.notice else 404, self.server.notice)

    def _say(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def aws():
    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.tokens, server.asked, server.notice = [], [], ""
    server.endpoint = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_a_notice_is_found_with_one_token_and_a_new_one_when_that_has_ended(aws):
    metadata = Metadata(aws.endpoint)
    assert metadata.notice() is None and metadata.notice() is None
    assert len(aws.tokens) == 1
    aws.tokens.append("another")
    aws.notice = json.dumps({"action": "stop", "time": "2026-01-01T00:02:00Z"})
    assert metadata.notice() == Notice("stop", unix_time("2026-01-01T00:02:00Z"))
    assert len(aws.tokens) == 3


def test_a_machine_that_is_taken_back_stops_first_and_says_why(box, aws):
    box.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = aws.endpoint
    box.policy(idle_after=3600, notice=0.1)
    box.start()
    assert until(lambda: len(aws.asked) > 2, 30)
    assert not box.off.exists()
    taken = time.time() + 4
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(taken))
    aws.notice = json.dumps({"action": "stop", "time": stamp})
    assert box.stopped_within(30)
    why = box.status()["stopped"]
    assert (why["layer"], why["reason"]) == ("AWS", "interrupted by AWS: spot capacity was needed")


def test_a_machine_that_is_no_spot_machine_asks_nobody(box, aws):
    box.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = aws.endpoint
    box.start()
    assert box.stopped_within(15)
    assert aws.asked == [] and aws.tokens == []


def test_a_service_that_does_not_answer_costs_nothing_but_the_notice(box):
    box.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1"
    box.policy(notice=0.1)
    box.start()
    assert box.stopped_within(15)
    assert box.status()["stopped"]["reason"].startswith("idle")
