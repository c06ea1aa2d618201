"""What the recorder makes of a kernel's messages."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.paths import REMOTE

sys.path.insert(0, str(REMOTE / "jupyter"))  # as the box's Jupyter has it
import outputs  # noqa: E402
from stream import Text  # noqa: E402


def taken(*messages: tuple[str, dict[str, Any]]) -> outputs.Outputs:
    found = outputs.Outputs()
    for kind, content in messages:
        found.take({"header": {"msg_type": kind}, "msg_type": kind, "content": content})
    return found


def printed(text: str, name: str = "stdout") -> tuple[str, dict[str, Any]]:
    return "stream", {"name": name, "text": text}


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["a\n", "b"], "a\nb"),
        (["10%\r", "20%", "\r100%\n"], "100%\n"),
        (["long line\rshort\n"], "shortline\n"),
        (["dos\r\n", "next"], "dos\nnext"),
        (["ab", "\x08c", "\x08\x08\x08x"], "xc"),
        (["first\nsecond\rthird\n"], "first\nthirdd\n"),
    ],
)
def test_a_progress_bar_is_one_line(pieces: list[str], text: str) -> None:
    shown = Text()
    for piece in pieces:
        shown.add(piece)
    assert str(shown) == text


def test_streams_in_a_row_are_one_output() -> None:
    saved = taken(printed("a"), printed("b"), printed("c", "stderr"), printed("d")).as_saved()
    assert [(out["name"], out["text"]) for out in saved] == [
        ("stdout", "ab"),
        ("stderr", "c"),
        ("stdout", "d"),
    ]


def test_a_display_update_changes_what_is_shown() -> None:
    first = {"data": {"text/plain": "0 of 2"}, "metadata": {}, "transient": {"display_id": "bar"}}
    found = taken(("display_data", first), printed("x"))
    assert found.update({**first, "data": {"text/plain": "2 of 2"}})
    assert not found.update({**first, "transient": {"display_id": "another"}})
    assert found.as_saved()[0]["data"] == {"text/plain": "2 of 2"}


def test_cleared_output_goes_with_the_next_one_where_it_waits() -> None:
    assert taken(printed("a"), ("clear_output", {"wait": False})).as_saved() == []
    assert len(taken(printed("a"), ("clear_output", {"wait": True})).as_saved()) == 1
    found = taken(printed("a"), ("clear_output", {"wait": True}), printed("b")).as_saved()
    assert [out["text"] for out in found] == ["b"]


def test_endless_output_ends_with_a_line_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "_MOST", 1000)
    found = taken(*[printed("x" * 100) for _ in range(100)]).as_saved()
    assert len(found) == 2 and len(found[0]["text"]) < 1000
    assert "the rest is left out" in found[1]["text"]
