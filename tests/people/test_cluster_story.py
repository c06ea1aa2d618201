"""Two boxes that train as one, with the installed command on the embedded cloud."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from local_aws import daemon

from ..user import CONFIG, User


def make_pictures(folder: Path) -> None:
    draw = np.random.default_rng(0)
    for part, count in (("train", 12), ("valid", 6)):
        for name, low in (("dark", 0), ("light", 128)):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(low, low + 128, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{name}.{number}.png")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[User]:
    folder, home = tmp_path / "project", tmp_path / "data"
    make_pictures(folder / "data" / "tiny")
    (folder / "config.yaml").write_text(CONFIG + "name: pair\nboxes: 2\n")
    environment = {**os.environ, "GPU_BOX_HOME": str(home), "GPU_BOX_MACHINES": "process"}
    yield User(folder, environment)
    daemon.stop(home)


def test_two_boxes_train_as_one_and_leave_nothing(pair: User) -> None:
    first, second = pair.json("up")
    assert (first["box"], second["box"]) == ("pair", "pair-2")
    assert first["instance"] != second["instance"] and first["zone"] == second["zone"]
    options = ["--epochs", "2", "--batch-size", "4", "--image-size", "32", "--weights", "none"]
    reported = pair.run("train", "--data", "tiny", *options).stdout
    assert "2 ranks" in reported
    pair.run("pull")
    summary = json.loads((pair.folder / "results" / "summary.json").read_text())
    assert summary["epochs"] == 2 and summary["images"]["train"] == 24
    # Only the first has results: both took part in one training.
    assert pair.run("--name", "pair-2", "ssh", "--", "ls work/results/*.json", expect=2).stdout == ""
    log = pair.run("--name", "pair-2", "logs").stdout
    assert "Traceback" not in log
    assert [box["state"] for box in pair.json("status")] == ["running", "running"]
    again = pair.json("up")
    assert [box["instance"] for box in again] == [first["instance"], second["instance"]]
    assert [box["state"] for box in pair.json("stop")] == ["stopped", "stopped"]
    assert len(pair.json("--yes", "down")) == 2
    assert pair.json("ls") == []
    assert pair.json("sweep")["found"] == []
