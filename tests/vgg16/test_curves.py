"""The pictures for people show the right examples, in the right rows, under the right names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from vgg16 import curves
from vgg16.pictures import Folder, find_pictures
from vgg16.train import Epoch


def epoch(number: int, valid: float | None = 0.8) -> Epoch:
    return Epoch(number, 0.5 / number, 0.7, 0.4 if valid else None, valid, 1.0, 100.0, 0.001)


@pytest.fixture
def folder(tiny_set: Path) -> Folder:
    """Four dark, four light."""
    return find_pictures(tiny_set / "valid")


def pictures_of(figure: Figure) -> dict[str, list[str]]:
    """Row's title -> its captions."""
    rows: dict[str, list[str]] = {}
    for axes in figure.axes:
        if title := axes.get_title(loc="left"):
            rows[title] = []
        if axes.texts:
            rows[list(rows)[-1]].append(" ".join(text.get_text() for text in axes.texts))
    return rows


def test_the_surest_and_the_least_sure_right_and_wrong_pictures_are_shown(folder: Folder) -> None:
    light = np.array([0.1, 0.2, 0.44, 0.9, 0.55, 0.8, 0.99, 0.3])
    figure = curves.examples(np.stack([1 - light, light], axis=1), folder, each=2)
    assert pictures_of(figure) == {
        "right (6): the surest": ["light 99% light.2.png", "dark 90% dark.0.png"],
        "right: the least sure": ["light 55% light.0.png", "dark 56% dark.2.png"],
        "wrong (2): the surest": ["light 90%, is dark dark.3.png", "dark 70%, is light light.3.png"],
    }


def test_rows_without_pictures_take_no_place(folder: Folder) -> None:
    figure = curves.examples(np.eye(2)[folder.labels], folder, each=4)
    assert list(pictures_of(figure)) == ["right (8): the surest", "right: the least sure"]


def test_a_picture_that_has_gone_since_leaves_its_place_and_name(folder: Folder) -> None:
    (folder.root / folder.files[0]).unlink()
    figure = curves.examples(np.eye(2)[folder.labels], folder, each=2)
    assert pictures_of(figure)["right (8): the surest"][0] == "gone dark 100% dark.0.png"


def test_each_picture_is_the_one_that_its_caption_names(folder: Folder) -> None:
    figure = curves.examples(np.eye(2)[folder.labels], folder, each=8)
    levels = {axes.texts[0].get_text(): axes.images[0].get_array().mean() for axes in figure.axes}
    assert levels["dark 100%"] < 90 and levels["light 100%"] > 160


def test_the_confusion_counts_what_was_taken_for_what(folder: Folder) -> None:
    taken_for = np.array([0, 0, 0, 1, 1, 1, 0, 0])
    probabilities = np.eye(2)[taken_for]
    assert curves.confusion_counts(probabilities, folder).tolist() == [[3, 1], [2, 2]]
    axes = curves.confusion(probabilities, folder).axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "3", (1, 0): "1", (0, 1): "2", (1, 1): "2"}  # (taken for, is)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dark", "light"]
    assert axes.get_title(loc="left") == "5 of 8 held-out pictures right"


@pytest.mark.parametrize("count", [0, 1, 12])
def test_curves_of_any_length_have_whole_epochs_below_them(count: int, tmp_path: Path) -> None:
    figure = curves.curves([epoch(number) for number in range(1, count + 1)], "A run")
    curves.save(figure, tmp_path / "curves.png")
    for axes in figure.axes:
        assert all(tick == int(tick) for tick in axes.get_xticks())
        assert all(len(line.get_xdata()) == count for line in axes.lines)
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_without_held_out_pictures_there_is_one_curve() -> None:
    figure = curves.curves([epoch(1, None), epoch(2, None)], "A run")
    assert [len(axes.lines) for axes in figure.axes] == [1, 1]
