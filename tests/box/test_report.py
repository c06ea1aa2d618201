"""What `report` reads of a project's results, which the box wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpu_box.box import report
from gpu_box.config.model import Config
from gpu_box.model.observed import Instance, InstanceState, Observed

from ..aws.conftest import Recorder

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe{}",
        b'{"epoch": "\xe9"}',
        b"[" * 100_000,
        b'{"epoch": 1, "train_loss": 1' + b"0" * 5000 + b"}",
        b"{" * 20_000_000,
        b"",
    ],
    ids=["no text", "one wrong byte", "nested", "a long number", "large", "empty"],
)
def test_metrics_of_any_content_are_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"epoch": 1}\n' + content + b'\n{"epoch": 2}\n')
    epochs = report._epochs(path)
    assert epochs[0] == {"epoch": 1} and len(epochs) <= 3
    path.write_bytes(content)
    assert report._object(path) in ({}, {"epoch": "\ufffd"})


def test_metrics_that_are_no_file_are_none(tmp_path: Path) -> None:
    assert report._epochs(tmp_path) == ()
    assert report._object(tmp_path / ("x" * 300)) == {}


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59+00:00", "2026-11-28T00:00:00", "soon", "", "1e9"])
def test_an_answer_of_before_with_an_impossible_time_is_not_shown(tmp_path: Path, at: str) -> None:
    kept = tmp_path / "box.json"
    kept.write_text(json.dumps({"instance": "i-1", "at": at, "activity": "{}"}))
    stopped = Instance(id="i-1", state=InstanceState.STOPPED, type="t", zone="z", launched=NOW, address=None)
    seen = Observed(region="us-east-1", instances=(stopped,))
    assert report._activity(Config(), seen, kept, NOW, Recorder()) == (None, None)
