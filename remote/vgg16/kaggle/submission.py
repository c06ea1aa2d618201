"""Kaggle's Dogs vs Cats Redux: `id,label`, the label being the probability of the second class (dog).

Scored by log-loss, where one certain answer that is wrong costs more than thousands of right ones earn. The
2017 lesson clipped to [0.05, 0.95], which costs 0.0513 even if all answers are right; one entrant measured
0.0948 without a clip, 0.0862 at 0.05, 0.0557 at 0.01 and 0.0544 at 0.005. So the clip is chosen on held-out
pictures.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from vgg16.files import refuse_special, write_text
from vgg16.kaggle import BadSubmission
from vgg16.kaggle.predictions import Predictions

LESSON_CLIP = 0.05
_CANDIDATES = (0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.002, 0.001, 0.0005)


@dataclass(frozen=True)
class Clip:
    """Probabilities are kept within [at, 1 - at]. expected: log-loss on held-out pictures, at it and at
    0.05.
    """

    at: float
    expected: float
    expected_at_lesson: float


def log_loss(probabilities: np.ndarray, labels: np.ndarray, clip: float) -> float:
    """Nats a picture. probabilities (n,) of class 1, labels (n,) 0 or 1."""
    clipped = np.clip(probabilities.astype(np.float64), clip, 1 - clip)
    return float(-np.mean(np.where(labels == 1, np.log(clipped), np.log(1 - clipped))))


def choose_clip(probabilities: np.ndarray, labels: np.ndarray, fixed: float | None = None) -> Clip:
    """The candidate with the least held-out loss, or the fixed one.

    Never below 1 / (n + 2): n right answers in a row do not promise more (Laplace's rule of succession).
    """
    if fixed is None:
        floor = 1 / (len(labels) + 2)
        candidates = [floor, *(clip for clip in _CANDIDATES if clip > floor)]
        fixed = min(candidates, key=lambda clip: log_loss(probabilities, labels, clip))
    return Clip(fixed, log_loss(probabilities, labels, fixed), log_loss(probabilities, labels, LESSON_CLIP))


def make_submission(path: Path, predictions: Predictions, fixed: float | None = None) -> Clip:
    """Chooses the clip on the held-out pictures unless it is fixed, and writes path. Raises BadSubmission."""
    if len(predictions.classes) != 2:
        raise BadSubmission(f"{path}: id,label is for two classes; these are {len(predictions.classes)}")
    clip = choose_clip(predictions.valid[:, 1], predictions.labels, fixed)
    write_submission(path, predictions.files, predictions.test[:, 1], clip.at)
    return clip


def describe(predictions: Predictions, clip: Clip) -> str:
    """One line for people."""
    return (
        f"{len(predictions.files):,} pictures, probability of {predictions.classes[1]}; expected log-loss "
        f"{clip.expected:.4f} clipped at {clip.at:.4g}, {clip.expected_at_lesson:.4f} at the lesson's "
        f"{LESSON_CLIP} (measured on {len(predictions.labels):,} held-out pictures)"
    )


def identity(name: str) -> int:
    """unknown/1234.jpg -> 1234. Raises BadSubmission if the name does not end in a number."""
    found = re.search(r"(\d+)$", PurePosixPath(name).stem)
    if found is None:
        raise BadSubmission(f"{name}: Kaggle's id is the number in a file's name, and this has none")
    return int(found[1])


def write_submission(path: Path, names: Sequence[str], probabilities: np.ndarray, clip: float) -> None:
    """names (n) of test pictures, probabilities (n,) of class 1. Sorted by id. Raises BadSubmission."""
    rows: dict[int, tuple[str, float]] = {}
    for name, probability in zip(
        names, np.clip(probabilities.astype(np.float64), clip, 1 - clip), strict=True
    ):
        number = identity(name)
        if number in rows:
            raise BadSubmission(f"{rows[number][0]} and {name} have the same id, {number}")
        rows[number] = (name, float(probability))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "label"])
    writer.writerows((number, f"{rows[number][1]:.6f}") for number in sorted(rows))
    write_text(path, text.getvalue())


def check_submission(path: Path, sample: Path | None = None) -> int:
    """How many rows; raises BadSubmission unless there is the header, each id once, and probabilities.

    sample: the competition's sample_submission.csv; the ids must then be the same.
    """
    ids = _ids(path)
    if sample is not None:
        wanted = set(_ids(sample))
        if missing := wanted - set(ids):
            raise BadSubmission(f"{path}: {len(missing)} of {len(wanted)} ids are missing, as {min(missing)}")
        if extra := set(ids) - wanted:
            raise BadSubmission(f"{path}: {len(extra)} ids are not asked for, as {min(extra)}")
    return len(ids)


def _ids(path: Path) -> list[int]:
    try:
        with refuse_special(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadSubmission(f"{path}: no CSV file ({error})") from None
    if not rows or rows[0] != ["id", "label"]:
        raise BadSubmission(f"{path}: its first line is not id,label")
    ids = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            name, label = row
            ids.append(int(name))
            value = float(label)
        except ValueError:
            raise BadSubmission(f"{path}: line {number} is not a number and a probability") from None
        if not 0 <= value <= 1:
            raise BadSubmission(f"{path}: line {number}: {label} is no probability")
    if len(set(ids)) < len(ids):
        raise BadSubmission(f"{path}: an id occurs twice")
    return ids
