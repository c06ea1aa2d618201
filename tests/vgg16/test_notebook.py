"""lesson1.ipynb runs from top to bottom, unattended, on real photographs."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import pytest

from vgg16.kaggle.submission import check_submission
from vgg16.lesson import Vgg16

NOTEBOOK = Path(__file__).parents[2] / "remote" / "notebooks" / "lesson1.ipynb"
SEVEN_LINES = """path = f"{data}/"
batch_size = 16
vgg = Vgg16()
batches = vgg.get_batches(path + "train", batch_size=batch_size)
val_batches = vgg.get_batches(path + "valid", batch_size=batch_size * 2)
vgg.finetune(batches)
vgg.fit(batches, val_batches, nb_epoch=1)"""


@pytest.fixture
def notebook() -> dict[str, object]:
    return json.loads(NOTEBOOK.read_text())


def test_its_cells_run_in_order_and_end_with_a_submission(
    notebook: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work" / "notebooks"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    # Set here, so that what the notebook adds to the environment ends with the test.
    monkeypatch.setenv("VGG16_WEIGHTS", "none")
    monkeypatch.setenv("VGG16_SIZE", "32")
    monkeypatch.setitem(Vgg16.__init__.__kwdefaults__, "width", 16)
    monkeypatch.setitem(Vgg16.__init__.__kwdefaults__, "cache", tmp_path / "cache")
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"lesson1.ipynb:{cell['id']}", "exec"), names)
    matplotlib.pyplot.close("all")
    matplotlib.use(before)
    assert check_submission(tmp_path / "work" / "results" / "submission.csv") == 40
    assert names["history"][-1].valid_accuracy > 0.6
    assert names["val_probabilities"].shape == (40, 2)


def test_it_has_the_seven_lines_and_no_stored_output(notebook: dict[str, object]) -> None:
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        assert cell["cell_type"] in ("markdown", "code")
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    source = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
    assert SEVEN_LINES in source
