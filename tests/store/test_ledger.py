"""The store keeps the cost of removed instances; existing ones count by AWS's tags alone."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gpu_box.store import ledger
from gpu_box.store.files import file_of_box

TODAY = date(2026, 11, 20)
DAYS = {TODAY - timedelta(days=1): Decimal("1.52"), TODAY: Decimal("0.48")}


def test_only_what_is_gone_counts(tmp_path: Path) -> None:
    path = tmp_path / "a" / "box.json"
    ledger.note(path, "i-1", DAYS, today=TODAY)
    ledger.note(path, "i-2", {TODAY: Decimal("0.5")}, today=TODAY)
    assert ledger.gone(path, []) == {TODAY - timedelta(days=1): Decimal("1.52"), TODAY: Decimal("0.98")}
    assert ledger.gone(path, ["i-2"]) == DAYS
    assert ledger.gone(path, ["i-1", "i-2"]) == {}


def test_what_is_noted_again_replaces_what_was(tmp_path: Path) -> None:
    path = tmp_path / "box.json"
    for usd in ("0.10", "0.48"):
        ledger.note(path, "i-1", {TODAY: Decimal(usd)}, today=TODAY)
    assert ledger.gone(path, []) == {TODAY: Decimal("0.48")}
    assert [each.name for each in tmp_path.iterdir()] == ["box.json"]


def test_after_a_year_and_a_month_it_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "box.json"
    ledger.note(path, "i-1", {TODAY - timedelta(days=401): Decimal(1), TODAY: Decimal(2)}, today=TODAY)
    assert ledger.gone(path, []) == {TODAY: Decimal(2)}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"i-1": 3}', '{"i-1": {"tuesday": "1"}}', '{"i-1": {"2026-11-20": "x"}}']
)
def test_a_damaged_memory_is_none_and_is_written_anew(text: str, tmp_path: Path) -> None:
    path = tmp_path / "box.json"
    path.write_text(text)
    assert ledger.gone(path, []) == {}
    ledger.note(path, "i-1", DAYS, today=TODAY)
    assert ledger.gone(path, []) == DAYS


def test_a_place_that_cannot_be_written_costs_the_memory_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ledger.note(tmp_path / "file" / "box.json", "i-1", DAYS, today=TODAY)


def test_clouds_accounts_regions_and_boxes_have_memories_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GPU_BOX_HOME", "/data")
    known = {"cloud": "ec2.us-east-1.amazonaws.com", "profile": None, "region": "us-east-1", "box": "ada"}
    paths = {
        file_of_box("ledger", **{**known, **changed})  # type: ignore[arg-type]
        for changed in (
            {},
            {"cloud": "127.0.0.1:4000"},
            {"profile": "work"},
            {"region": "eu-west-1"},
            {"box": "eve"},
        )
    }
    assert len(paths) == 5
    odd = file_of_box("ledger", cloud="a", profile="../../x", region="r", box="b")
    assert odd.resolve().is_relative_to("/data/ledger")
