"""The faults that a walk leaves out are those that another one of it shows."""

from __future__ import annotations

from collections import Counter

from .faults import FAULTS, Called
from .scenarios import distinct, every

_READS = ["DescribeInstances", "DescribeVolumes", "DescribeInstances", "DescribeInstances"]


def _calls(*operations: str) -> list[Called]:
    seen: Counter[str] = Counter()
    made = []
    for operation in operations:
        seen[operation] += 1
        made.append(Called((operation, seen[operation]), "{}"))
    return made


def test_every_change_in_aws_is_struck_by_every_fault() -> None:
    calls = _calls("CreateTags", "DescribeInstances", "CreateTags", "CreateTags")
    changes = [call for call in calls if not call.reads]
    assert set(every(changes)) <= set(distinct(calls))
    assert len(every(changes)) == 3 * len(FAULTS)


def test_a_poll_is_struck_at_its_first_second_and_last_read() -> None:
    struck = distinct(_calls(*["DescribeInstances"] * 9))
    for fault in ("500", "access denied", "connection refused", "killed after"):
        assert [nth for (_, nth), name in struck if name == fault] == [1, 2, 9]


def test_each_phase_ends_by_a_kill_and_by_a_lost_connection() -> None:
    struck = distinct(_calls(*_READS, "RunInstances", *_READS))
    for fault in ("connection refused", "killed after"):
        reads = [place for place, name in struck if name == fault and place[0] != "RunInstances"]
        instances, volumes = "DescribeInstances", "DescribeVolumes"
        before = [(instances, 1), (volumes, 1), (instances, 3)]
        after = [(instances, 4), (volumes, 2), (instances, 6)]
        assert reads == before + after


def test_each_question_is_denied_at_least_once() -> None:
    one, other = Called(("DescribeImages", 1), "{'Owners': ['self']}"), Called(("DescribeImages", 2), "{}")
    struck = distinct([one, other])
    assert {(call.place, "access denied") for call in (one, other)} <= set(struck)


def test_what_the_sdk_tries_again_strikes_each_operation_once() -> None:
    struck = distinct(_calls(*_READS))
    for fault in ("throttled once", "answer lost"):
        hit = [place for place, name in struck if name == fault]
        assert hit == [("DescribeInstances", 1), ("DescribeVolumes", 1)]
