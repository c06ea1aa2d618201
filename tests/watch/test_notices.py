"""Notices are sent in each service's format, with retries, and never delay a stop for long."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from watcher_box import Box, until
from webhook import Webhook

from watch.policy import load
from watch.webhook import deliver, format_of, request


def settings(hook: Webhook, form: str = "json") -> dict[str, str]:
    return {"box": "ada", "webhook": hook.address, "format": form}


def ask_for_notices(box: Box, hook: Webhook, form: str = "json") -> None:
    path = Path(box.environment["HOME"], ".gpu-box", "notify.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(settings(hook, form)))


@pytest.mark.parametrize(
    ("form", "content_type", "said"),
    [
        ("slack", "application/json", '{"text": "ada: stopped: idle"}'),
        ("discord", "application/json", '{"content": "ada: stopped: idle"}'),
        ("ntfy", None, "idle"),
    ],
)
def test_each_service_gets_its_own_format(
    form: str, content_type: str | None, said: str, hook: Webhook
) -> None:
    deliver(settings(hook, form), "stopped", "idle", within=5)
    (notice,) = hook.taken
    assert notice.body == said and notice.path == "/services/T0/SECRET"
    assert content_type is None or notice.headers["Content-Type"] == content_type
    assert form != "ntfy" or notice.headers["Title"] == "ada: stopped"


def test_any_other_address_gets_plain_json(hook: Webhook) -> None:
    deliver(settings(hook), "budget", "80 % of this month's budget is spent", within=5)
    reported = json.loads(hook.taken[0].body)
    assert reported.pop("at") > 1_700_000_000
    assert reported == {
        "box": "ada",
        "event": "budget",
        "title": "ada: budget",
        "text": "80 % of this month's budget is spent",
    }


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", "slack"),
        ("https://discord.com/api/webhooks/1/x", "discord"),
        ("https://ntfy.sh/topic", "ntfy"),
        ("https://ntfy.example.org/topic", "ntfy"),
        ("https://example.org/ntfy.sh", "json"),
    ],
)
def test_the_host_decides_the_format(address: str, form: str) -> None:
    assert format_of(address) == form


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failing_webhook_is_retried_with_growing_pauses(status: int, hook: Webhook) -> None:
    hook.answers = [(status, {}), (status, {})]
    pauses: list[float] = []
    deliver(settings(hook), "job", "done", within=60, pause=pauses.append)
    assert hook.tried == 3 and len(hook.taken) == 1
    assert pauses == [1.0, 2.0]


def test_retry_after_is_respected(hook: Webhook) -> None:
    hook.answers = [(429, {"Retry-After": "7"})]
    pauses: list[float] = []
    deliver(settings(hook), "job", "done", within=60, pause=pauses.append)
    assert pauses == [7.0]


def test_a_refused_notice_is_not_retried_and_the_address_stays_secret(hook: Webhook) -> None:
    hook.answers = [(404, {})] * 9
    with pytest.raises(OSError, match=r"127\.0\.0\.1 does not accept the notice: HTTP 404") as refused:
        deliver(settings(hook), "job", "done", within=60, pause=lambda s: None)
    assert hook.tried == 1 and "SECRET" not in str(refused.value)


def test_it_gives_up_in_time(hook: Webhook) -> None:
    hook.answers = [(500, {})] * 9
    with pytest.raises(OSError, match="HTTP 500"):
        deliver(settings(hook), "stopped", "idle", within=2.5, pause=lambda s: None)
    assert hook.tried < 4


def test_no_listener_is_an_error(free_port: int) -> None:
    asked = {"webhook": f"http://127.0.0.1:{free_port}/SECRET"}
    with pytest.raises(OSError, match="does not accept the notice") as refused:
        deliver(asked, "stopped", "idle", within=1, pause=lambda s: None)
    assert "SECRET" not in str(refused.value)


def test_a_redirect_is_not_followed(hook: Webhook) -> None:
    hook.answers = [(302, {"Location": hook.address + "/elsewhere"})]
    with pytest.raises(OSError, match="HTTP 302"):
        deliver(settings(hook), "job", "done", within=5)
    assert hook.taken == []


def test_a_title_stays_one_header() -> None:
    asked = {"box": "ada", "webhook": "https://ntfy.sh/x"}
    assert request(asked, "stopping", "line\nline").headers["Title"] == "ada: stops soon"


def test_the_warning_says_how_much_of_scratch_will_be_lost(box: Box, hook: Webhook) -> None:
    ask_for_notices(box, hook)
    (box.state / "scratch.json").write_text('{"mount": "/"}')  # as if / were the local NVMe
    box.policy()
    box.start()
    assert until(lambda: any('"stopping"' in one.body for one in hook.taken), 60)
    warning = next(json.loads(one.body) for one in hook.taken if '"stopping"' in one.body)["text"]
    assert re.search(r"gpu-box keep 2h\. \d+\.\d GB in ~/scratch will be lost$", warning)


@pytest.mark.parametrize("record", ["", "[]", '{"mount": 7}', '{"mount": "/nowhere"}', '{"mount": "/etc"}'])
def test_without_local_nvme_nothing_is_lost(box: Box, record: str) -> None:
    (box.state / "scratch.json").write_text(record)
    assert box.call("scratch").stdout == "0\n"


def test_a_stop_is_announced_and_explained(box: Box, hook: Webhook) -> None:
    ask_for_notices(box, hook)
    box.start()
    assert box.stopped_within(60)
    reported = [json.loads(notice.body) for notice in hook.taken]
    by_event = {one["event"]: one["text"] for one in reported}
    assert re.match(r"by its watcher: idle \d+ s", by_event["stopped"])
    assert until(lambda: any("stopping" in one.body for one in hook.taken), 60)
    warning = next(json.loads(one.body) for one in hook.taken if '"stopping"' in one.body)["text"]
    assert warning.startswith("this machine stops in") and "gpu-box keep 2h" in warning


def test_a_webhook_that_is_down_does_not_prevent_a_stop(box: Box, free_port: int) -> None:
    silent = Webhook(f"http://127.0.0.1:{free_port}/SECRET")
    ask_for_notices(box, silent)
    box.start()
    assert box.stopped_within(60)


def test_each_budget_mark_sends_one_notice(box: Box, hook: Webhook) -> None:
    import time

    ask_for_notices(box, hook)
    now = time.time()
    box.policy(idle_after=3600, budget_marks=[[50, now - 60], [80, now + 1.5], [100, now + 3600]])
    box.start()
    assert until(lambda: hook.taken, 60)
    assert not until(lambda: len(hook.taken) > 1, 1)
    assert "80 % of this month's budget is spent" in hook.taken[0].body


def test_the_laptop_sets_and_clears_the_budget_marks(box: Box) -> None:
    for words, marks in (("50:1e9,80:2e9", ((50.0, 1e9), (80.0, 2e9))), ("", ())):
        assert box.call("policy", f"budget_marks={words}").returncode == 0
        assert load(str(box.state / "policy.json"))[0].budget_marks == marks
    assert box.call("policy", "budget_marks=half").returncode == 2


def test_without_a_webhook_a_notice_does_nothing(box: Box) -> None:
    ended = box.call("notify", "stopped", "idle")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_an_unknown_event_is_refused(box: Box) -> None:
    ended = box.call("notify", "party", "now")
    assert ended.returncode == 2 and "EVENT one of stopping, stopped, job" in ended.stderr


@pytest.mark.parametrize("path", ["SECRET\x01", "SECRET é"])
def test_an_address_that_cannot_be_asked_is_not_shown(path: str, hook: Webhook) -> None:
    settings = {"box": "ada", "webhook": f"{hook.address}/{path}", "format": "json"}
    with pytest.raises(OSError) as refused:
        deliver(settings, "stopped", "idle", within=1, pause=lambda seconds: None)
    assert "SECRET" not in str(refused.value)
