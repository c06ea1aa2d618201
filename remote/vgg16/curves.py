"""Pictures for people: how the training went, what it confuses, what it was most and least sure of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from vgg16.data import Folder
from vgg16.files import write_whole
from vgg16.train import Epoch

# Okabe and Ito's colours: told apart with any kind of colour vision. Markers differ as well.
_BLUE, _ORANGE, _GREEN, _INK, _GRID = "#0072B2", "#D55E00", "#009E73", "#333333", "#DDDDDD"
_STYLE = {
    "font.size": 10,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def curves(history: Sequence[Epoch], title: str) -> Figure:
    """Accuracy and loss, training against held out."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9, 4), layout="constrained")
        accuracy, loss = figure.subplots(1, 2)
        _draw(accuracy, history, "accuracy")
        accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        _draw(loss, history, "loss")
        loss.set_ylim(bottom=0)
        loss.set_ylabel("nats a picture")
        figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure


def _draw(axes: Axes, history: Sequence[Epoch], figure_name: str) -> None:
    epochs = [epoch.epoch for epoch in history]
    for part, label, colour, marker in (
        ("train", "training (dropout on)", _BLUE, "o"),
        ("valid", "held out", _ORANGE, "s"),
    ):
        values = [getattr(epoch, f"{part}_{figure_name}") for epoch in history]
        if any(value is None for value in values):
            continue
        axes.plot(epochs, values, color=colour, marker=marker, markersize=5, linewidth=2, label=label)
    axes.set_title(figure_name, loc="left")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=_GRID)
    axes.set_axisbelow(True)
    axes.legend(frameon=False)


def confusion(probabilities: np.ndarray, folder: Folder) -> Figure:
    """Rows: what a picture is; columns: what it was taken for. Counts, and shares of the row as the shade."""
    counts = confusion_counts(probabilities, folder)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = folder.classes
    with matplotlib.rc_context(_STYLE):
        side = 2.4 + 0.5 * len(names)
        figure = Figure(figsize=(side + 0.6, side), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(*counts.shape):
            ink = "white" if shares[row, column] > 0.5 else _INK
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=ink)
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("taken for")
        axes.set_ylabel("is")
        axes.spines[:].set_visible(False)
        axes.set_title(
            f"{np.trace(counts):,} of {counts.sum():,} held-out pictures right", loc="left", fontsize=10
        )
    return figure


def confusion_counts(probabilities: np.ndarray, folder: Folder) -> np.ndarray:
    """(classes, classes): [is, taken for]."""
    counts = np.zeros((len(folder.classes),) * 2, dtype=int)
    np.add.at(counts, (folder.labels, probabilities.argmax(1)), 1)
    return counts


def examples(probabilities: np.ndarray, folder: Folder, *, each: int = 6) -> Figure:
    """Four rows of pictures: right and most sure, right and least sure, wrong and most sure, wrong and least
    sure.
    """
    from vgg16.images import read_image
    from vgg16.preprocess import RANDOM

    sure = probabilities.max(1)
    right = probabilities.argmax(1) == folder.labels
    by_sureness = np.argsort(-sure, kind="stable")
    good, bad = by_sureness[right[by_sureness]], by_sureness[~right[by_sureness]]
    rows = {
        "right, surest": good[:each],
        "right, least sure": good[each:][::-1][:each],
        "wrong, surest": bad[:each],
        "wrong, least sure": bad[each:][::-1][:each],
    }
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(1.35 * each + 0.6, 6.6), layout="constrained")
        grid = figure.subplots(4, each, squeeze=False)
        for axes_row, (title, chosen) in zip(grid, rows.items(), strict=True):
            for axes in axes_row:
                axes.axis("off")
            axes_row[0].set_title(
                title if len(chosen) else f"{title}: none more", loc="left", fontsize=10, fontweight="bold"
            )
            for axes, row in zip(axes_row, chosen, strict=False):
                picture = read_image(folder.root / folder.files[row], RANDOM.at(128))
                axes.imshow(picture.transpose(1, 2, 0))
                number = int(probabilities[row].argmax())
                colour = _GREEN if right[row] else _ORANGE
                axes.text(
                    0.5, -0.04, f"{folder.classes[number]} {sure[row]:.0%}", transform=axes.transAxes,
                    ha="center", va="top", fontsize=8, color=colour,
                )  # fmt: skip
    return figure


def save(figure: Figure, path: Path) -> None:
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=150))
