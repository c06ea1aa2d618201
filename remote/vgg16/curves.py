"""Figures: the training's curves, the confusion of classes, the surest and the least sure answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from vgg16 import UnreadableImage
from vgg16.command import printable
from vgg16.files import write_whole
from vgg16.model import RANDOM
from vgg16.pictures import Folder, read_image
from vgg16.train import Epoch

# Okabe and Ito's colours: distinct for any kind of colour vision. Markers differ as well.
_BLUE, _ORANGE, _GREEN = "#0072B2", "#D55E00", "#007A58"  # the green darkened, to be read when small
_INK, _FAINT, _GRID = "#333333", "#767676", "#DDDDDD"
_STYLE = {
    "font.size": 10,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # of a class's or file's name with dollars
}


def curves(history: Sequence[Epoch], title: str) -> Figure:
    """Accuracy and loss, training against held out."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9, 4), layout="constrained")
        accuracy, loss = figure.subplots(1, 2)
        _draw(accuracy, history, "accuracy")
        # Up to 100 %, and never so near that a tenth of a per cent looks like a mountain.
        accuracy.set_ylim(min(0.9, accuracy.get_ylim()[0] - 0.05), 1.005)
        accuracy.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
        _draw(loss, history, "loss")
        loss.set_ylim(0, 1.05 * loss.get_ylim()[1])
        loss.set_ylabel("nats a picture")
        figure.suptitle(printable(title), fontsize=11, fontweight="bold")
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
    axes.set_xlim(0.5, max(len(epochs), 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=_GRID)
    axes.set_axisbelow(True)
    axes.legend(frameon=False)


def confusion(probabilities: np.ndarray, folder: Folder) -> Figure:
    """Counts by class (rows) and answer (columns). The shade is the share of the row."""
    counts = confusion_counts(probabilities, folder)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = [printable(name) for name in folder.classes]
    many = len(names) > 4
    with matplotlib.rc_context(_STYLE):
        side = 2.4 + 0.5 * len(names)
        figure = Figure(figsize=(side + 0.6, side), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(*counts.shape):
            if many and not counts[row, column]:
                continue  # a hundred zeros would hide the rest
            ink = "white" if shares[row, column] > 0.5 else _INK
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=ink)
        axes.set_xticks(
            range(len(names)), names, rotation=45 if many else 0, ha="right" if many else "center"
        )
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
    """Rows of pictures: right and surest, right and least sure, wrong and surest, wrong and least sure.

    A row that would be empty is left out. Under each picture: the answer, how sure it was, the file's name.
    """
    sure = probabilities.max(1)
    right = probabilities.argmax(1) == folder.labels
    by_sureness = np.argsort(-sure, kind="stable")
    good, bad = by_sureness[right[by_sureness]], by_sureness[~right[by_sureness]]
    rows = {
        f"right ({len(good):,}): the surest": good[:each],
        "right: the least sure": good[each:][::-1][:each],
        f"wrong ({len(bad):,}): the surest": bad[:each],
        "wrong: the least sure": bad[each:][::-1][:each],
    }
    rows = {title: chosen for title, chosen in rows.items() if len(chosen)}
    names = [printable(name) for name in folder.classes]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(1.6 * each, 2.3 * len(rows)), layout=ConstrainedLayoutEngine(h_pad=0.1))
        grid = figure.subplots(len(rows), each, squeeze=False)
        for axes_row, (title, chosen) in zip(grid, rows.items(), strict=True):
            for axes in axes_row:
                axes.axis("off")
            axes_row[0].set_title(title, loc="left", fontsize=10, fontweight="bold")
            for axes, row in zip(axes_row, chosen, strict=False):
                answer = names[int(probabilities[row].argmax())]
                caption = f"{answer} {sure[row]:.0%}"
                if not right[row]:
                    caption += f", is {names[folder.labels[row]]}"
                _show(axes, folder, row)
                for line, (text, colour) in enumerate(
                    ((caption, _GREEN if right[row] else _ORANGE), (_short(folder.files[row]), _FAINT))
                ):
                    axes.text(
                        0.5, -0.04 - 0.12 * line, text, transform=axes.transAxes,
                        ha="center", va="top", fontsize=8 - line, color=colour,
                    )  # fmt: skip
    return figure


def _show(axes: Axes, folder: Folder, row: int) -> None:
    try:
        axes.imshow(read_image(folder.root / folder.files[row], RANDOM.at(128)).transpose(1, 2, 0))
    except UnreadableImage:  # it was there when the network saw it
        axes.imshow(np.full((128, 128, 3), 255, dtype=np.uint8))
        axes.text(64, 64, "gone", ha="center", va="center", color=_FAINT)


def _short(file: str, most: int = 24) -> str:
    """The end of a file's name, which differs between neighbours."""
    name = printable(file.rsplit("/", 1)[-1])
    return name if len(name) <= most else "..." + name[3 - most :]


def save(figure: Figure, path: Path) -> None:
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=150))
