"""A trained network's probabilities for the held-out and the test pictures, kept beside the run's figures.

A submission with another clip needs neither the network nor a GPU.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vgg16.files import refuse_special, write_whole
from vgg16.kaggle import BadSubmission

FILE = "predictions.npz"


@dataclass(frozen=True)
class Predictions:
    """data: the folder that the pictures were in. Probabilities: valid (n, classes), test (m, classes)."""

    data: Path
    classes: tuple[str, ...]
    valid: np.ndarray
    labels: np.ndarray
    """(n,) class numbers of the held-out pictures."""
    files: tuple[str, ...]
    """m names of test pictures, as unknown/7.jpg."""
    test: np.ndarray


def save(results: Path, predictions: Predictions) -> None:
    # Arrays of text, not of objects: what is read back can be nothing but data.
    arrays = asdict(predictions) | {
        "data": np.array(str(predictions.data)),
        "classes": np.array(predictions.classes),
        "files": np.array(predictions.files),
    }
    write_whole(results / FILE, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def load(results: Path) -> Predictions:
    """Raises BadSubmission if no run left any in the folder."""
    path = results / FILE
    try:
        with np.load(io.BytesIO(refuse_special(path).read_bytes()), allow_pickle=False) as arrays:
            return Predictions(
                data=Path(str(arrays["data"])),
                classes=tuple(arrays["classes"].tolist()),
                valid=arrays["valid"],
                labels=arrays["labels"],
                files=tuple(arrays["files"].tolist()),
                test=arrays["test"],
            )
    except FileNotFoundError:
        raise BadSubmission(
            f"{path}: no such file; `train` leaves it where --data has test/ and two classes"
        ) from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BadSubmission(f"{path}: damaged ({error}); train again with --resume") from None
