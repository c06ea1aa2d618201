"""Spot interruption: the notice is read, users and jobs are warned, and the machine stops before AWS acts."""

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
from watch.run import Watcher


@pytest.mark.parametrize(
    ("stamp", "wall"),
    [("1970-01-01T00:00:00Z", 0), ("2024-02-29T23:59:59Z", 1709251199), ("2026-11-23T19:50:07Z", 1795463407)],
)
def test_iso_times_are_parsed_right(stamp, wall):
    assert unix_time(stamp) == wall


@pytest.mark.parametrize("text", ["", "{}", "[]", "<html>", '{"action": "stop", "time": "soon"}'])
def test_an_invalid_notice_is_refused(text):
    with pytest.raises(ValueError):
        parse(text)


def test_it_stops_shortly_before_aws_does():
    assert seconds_left(Notice("stop", 1120.0), 1000.0) == 120.0 - AHEAD
    assert seconds_left(Notice("stop", 1004.0), 1000.0) == 3.0
    assert seconds_left(Notice("stop", 990.0), 1000.0) == 0.0


@pytest.mark.parametrize("at", [1120.0, 1040.0, 1016.0])
def test_a_hung_shutdown_is_forced_before_aws_stops_the_machine(at):
    notice = Notice("stop", at)
    assert 1000.0 + seconds_left(notice, 1000.0) + forced_after(notice, 1000.0) < at


def test_users_learn_when_it_stops_and_what_happens_to_their_work():
    assert message(100.0).startswith("AWS reclaims this spot machine: it stops in 100 s, and its disk")


class Answers(BaseHTTPRequestHandler):
    """The part of the metadata service that the watcher uses, as the EC2 User Guide describes it."""

    def do_PUT(self):
        self.server.tokens.append(f"token-{len(self.server.tokens)}")
        self._say(200, self.server.tokens[-1])

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.headers["X-aws-ec2-metadata-token"] != self.server.tokens[-1]:
            self._say(401, "")
        else:
            risk = self.path.endswith("/events/recommendations/rebalance")
            text = self.server.recommendation if risk else self.server.notice
            self._say(200 if text else 404, text)

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
    server.tokens, server.asked, server.notice, server.recommendation = [], [], "", ""
    server.endpoint = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join(60)
    server.server_close()


def test_one_token_serves_many_polls_and_is_renewed_when_it_expires(aws):
    metadata = Metadata(aws.endpoint)
    assert metadata.notice() is None and metadata.notice() is None
    assert len(aws.tokens) == 1
    aws.tokens.append("another")
    aws.notice = json.dumps({"action": "stop", "time": "2026-01-01T00:02:00Z"})
    assert metadata.notice() == Notice("stop", unix_time("2026-01-01T00:02:00Z"))
    assert len(aws.tokens) == 3


def test_a_rebalance_recommendation_lets_jobs_save_once_and_continue(aws, monkeypatch):
    warned = []
    monkeypatch.setattr("watch.interruption.warn_jobs", lambda users, at: warned.append(at) or [])
    watcher = object.__new__(Watcher)
    watcher._metadata, watcher._risk, watcher._complaints = Metadata(aws.endpoint), None, []
    for recommendation in ("", "2026-01-01T00:02:00Z", "2026-01-01T00:02:00Z", "2026-01-01T03:00:00Z"):
        aws.recommendation = json.dumps({"noticeTime": recommendation}) if recommendation else ""
        watcher._check_recommendation()
    assert warned == [unix_time("2026-01-01T00:02:00Z"), unix_time("2026-01-01T03:00:00Z")]
    aws.recommendation = "[]"
    with pytest.raises(ValueError, match="no rebalance recommendation"):
        watcher._metadata.recommendation()


def test_an_interrupted_machine_stops_by_itself_and_records_why(box, aws):
    box.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = aws.endpoint
    box.policy(idle_after=3600, notice=0.1)
    box.start()
    assert until(lambda: len(aws.asked) > 2, 60)
    assert not box.off.exists()
    taken = time.time() + 4
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(taken))
    aws.notice = json.dumps({"action": "stop", "time": stamp})
    assert box.stopped_within(60)
    why = box.status()["stopped"]
    assert (why["layer"], why["reason"]) == ("AWS", "interrupted by AWS: spot capacity was needed")


def test_an_on_demand_machine_does_not_poll(box, aws):
    box.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = aws.endpoint
    box.start()
    assert box.stopped_within(60)
    assert aws.asked == [] and aws.tokens == []


def test_a_metadata_service_that_does_not_answer_costs_only_the_notice(box):
    box.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1"
    box.policy(notice=0.1)
    box.start()
    assert box.stopped_within(60)
    assert box.status()["stopped"]["reason"].startswith("idle")
