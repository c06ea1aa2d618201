"""Kaggle's Dogs vs Cats Redux into the lesson's layout.

Kaggle gives one flat folder, `train/cat.0.jpg` ... `train/dog.12499.jpg`, and `test/1.jpg` ...
`test/12500.jpg`. The lesson wants a folder a class, a seeded 2,000 pictures held out, and a small
sample to try things on.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from vgg16 import BadData
from vgg16.data.archive import unpack
from vgg16.files import new_folder, write_text

_LABELLED = re.compile(r"^([A-Za-z]\w*)\.(\d+)\.jpe?g$", re.IGNORECASE)
_NUMBERED = re.compile(r"^\d+\.jpe?g$", re.IGNORECASE)
_READY = "README.txt"
SAMPLE = "sample_submission.csv"


def prepare(
    to: Path,
    zips: Sequence[Path],
    *,
    valid: int = 2000,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> None:
    """Unpacks train.zip and test.zip, or the one zip that Kaggle wraps around both, then splits.

    Whole or not there; a second call does nothing. Raises BadData.
    """
    if is_prepared(to, say):
        return
    with new_folder(to, _READY) as folder:
        for archive in zips:
            count = unpack(archive, folder, rename=_place)
            say(f"{archive.name}: {count:,} files")
        say(f"{to}: {split(folder, valid=valid, seed=seed)}")


def is_prepared(to: Path, say: Callable[[str], None] = print) -> bool:
    """Raises BadData where something else is in the way."""
    if (to / _READY).is_file():
        say(f"{to}: already prepared")
        return True
    if to.is_dir() and any(to.iterdir()):
        raise BadData(f"{to} holds something else: choose another folder with --to, or empty it")
    return False


def _place(member: PurePosixPath) -> Path | None:
    """Where a file of Kaggle's goes; None for what no lesson needs (a Mac's, a PC's, a licence)."""
    if _LABELLED.match(member.name):
        return Path("train", member.name)
    if _NUMBERED.match(member.name):
        return Path("test", "unknown", member.name)
    return Path(SAMPLE) if member.name == SAMPLE else None


def split(root: Path, *, valid: int = 2000, sample: tuple[int, int] = (200, 50), seed: int = 0) -> str:
    """In place: root/train/NAME.N.jpg into class folders, `valid` of them into valid/, copies into sample/.

    Which are held out depends on the names and the seed alone, so that a killed split is finished by the
    next. sample: copies from train and from valid. The line to print. Raises BadData.
    """
    found = [path for part in ("train", "valid") for path in (root / part).rglob("*.jp*g")]
    places = {path.name: path for path in found if path.is_file()}
    names = sorted(name for name in places if _LABELLED.match(name))
    classes = sorted({_class(name) for name in names})
    if not names:
        raise BadData(f"{root / 'train'}: no pictures named as Kaggle's, as cat.0.jpg")
    if len(classes) < 2:
        raise BadData(f"{root / 'train'}: one class only ({classes[0]})")
    if not 0 < valid < len(names):
        raise BadData(f"{root / 'train'}: {valid:,} of {len(names):,} pictures cannot be held out")
    shuffled = np.random.default_rng(seed).permutation(np.array(names)).tolist()
    held_out, train = shuffled[:valid], shuffled[valid:]
    for part, chosen in (("valid", held_out), ("train", train)):
        for name in classes:
            (root / part / name).mkdir(parents=True, exist_ok=True)
        for name in chosen:
            target = root / part / _class(name) / name
            if places[name] != target:
                places[name].replace(target)
    for copy in (root / "sample").rglob("*.jp*g"):  # of an earlier split, by another seed
        if _LABELLED.match(copy.name):
            copy.unlink()
    for part, chosen, count in (("train", train, sample[0]), ("valid", held_out, sample[1])):
        for name in chosen[:count]:
            target = root / "sample" / part / _class(name) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / part / _class(name) / name, target)
    _gather_test(root / "test")
    line = f"{len(train):,} train, {len(held_out):,} valid, classes {' and '.join(classes)}"
    write_text(root / _READY, f"Kaggle's Dogs vs Cats in the lesson's layout: {line}; seed {seed}.\n")
    return line


def _gather_test(test: Path) -> None:
    """test/N.jpg into test/unknown: for batches, every picture is in some class's folder."""
    if test.is_dir():
        (test / "unknown").mkdir(exist_ok=True)
        for path in sorted(test.iterdir()):
            if _NUMBERED.match(path.name) and path.is_file():
                path.replace(test / "unknown" / path.name)


def _class(name: str) -> str:
    found = _LABELLED.match(name)
    assert found is not None
    return found[1]
