"""Kaggle's files into the lesson's layout: the same split every time, nothing lost, nothing outside."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from vgg16 import dogscats
from vgg16.__main__ import main
from vgg16.errors import BadData


def names(count: int = 30) -> list[str]:
    return [f"{kind}.{number}.jpg" for kind in ("cat", "dog") for number in range(count)]


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.jpg")}


@pytest.fixture
def zips(tmp_path: Path) -> tuple[Path, Path]:
    train = {f"train/{name}": name.encode() for name in names()}
    test = {f"test/{number}.jpg": b"%d" % number for number in range(1, 11)}
    return make_zip(tmp_path / "train.zip", train), make_zip(tmp_path / "test.zip", test)


def test_the_zips_become_the_layout_and_no_picture_is_lost(zips: tuple[Path, Path], tmp_path: Path) -> None:
    to = tmp_path / "dogscats"
    words = ["--zip", str(zips[0]), "--test-zip", str(zips[1]), "--to", str(to), "--valid", "12"]
    assert main(["data", "kaggle-dogs-cats", *words]) == 0
    files = tree(to)
    train = [name for name in files if name.startswith("train/")]
    valid = [name for name in files if name.startswith("valid/")]
    assert (len(train), len(valid)) == (48, 12)
    assert sorted(Path(name).name for name in train + valid) == sorted(names())
    assert all(Path(name).name.startswith(Path(name).parent.name) for name in train + valid)
    assert len([name for name in files if name.startswith("test/unknown/")]) == 10
    assert all(files[name] == Path(name).name.encode() for name in train + valid)
    before = {path: path.stat().st_mtime_ns for path in to.rglob("*")}
    assert main(["data", "kaggle-dogs-cats", *words]) == 0
    assert {path: path.stat().st_mtime_ns for path in to.rglob("*")} == before


def flat(root: Path) -> Path:
    (root / "train").mkdir(parents=True)
    for name in names():
        (root / "train" / name).write_text(name)
    return root


def test_a_split_cut_off_anywhere_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = flat(tmp_path / "whole")
    dogscats.split(whole, valid=12)
    move = Path.replace
    for moves in range(0, 60, 7):
        root, left = flat(tmp_path / f"cut{moves}"), iter(range(moves))

        def cut(path: Path, target: Path, left=left) -> Path:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return move(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", cut)
            with pytest.raises(KeyboardInterrupt):
                dogscats.split(root, valid=12)
        dogscats.split(root, valid=12)
        assert tree(root) == tree(whole)


def test_the_split_is_the_seed_s(tmp_path: Path) -> None:
    held_out = []
    for number, seed in enumerate((0, 0, 1)):
        root = flat(tmp_path / str(number))
        dogscats.split(root, valid=12, seed=seed)
        held_out.append(sorted(path.name for path in (root / "valid").rglob("*.jpg")))
    assert held_out[0] == held_out[1] != held_out[2]


def test_the_sample_is_copies(tmp_path: Path) -> None:
    root = flat(tmp_path / "d")
    dogscats.split(root, valid=12, sample=(10, 5))
    files = tree(root)
    for part, count in (("train", 10), ("valid", 5)):
        copies = {name: content for name, content in files.items() if name.startswith(f"sample/{part}/")}
        assert len(copies) == count
        assert all(files[name.removeprefix("sample/")] == content for name, content in copies.items())


@pytest.mark.parametrize(
    "member", ["../evil.jpg", "/etc/cat.1.jpg", "train/../../cat.1.jpg", "C:\\cat.1.jpg"]
)
def test_a_zip_that_escapes_its_folder_is_refused_whole(member: str, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "train.zip", {"train/cat.0.jpg": b"x", member: b"evil"})
    with pytest.raises(BadData, match="would leave the folder"):
        dogscats.prepare(tmp_path / "to", train_zip=archive)
    assert [path.name for path in tmp_path.iterdir()] == ["train.zip"]


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("train/cat.1.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadData, match="would leave the folder"):
        dogscats.prepare(tmp_path / "to", train_zip=tmp_path / "train.zip")


def test_a_damaged_or_missing_zip_is_named_and_leaves_nothing(
    zips: tuple[Path, Path], tmp_path: Path
) -> None:
    zips[0].write_bytes(zips[0].read_bytes()[:-100])
    with pytest.raises(BadData, match="train.zip: damaged"):
        dogscats.prepare(tmp_path / "to", train_zip=zips[0])
    with pytest.raises(BadData, match="nowhere.zip: no such file"):
        dogscats.prepare(tmp_path / "to", train_zip=tmp_path / "nowhere.zip")
    assert not (tmp_path / "to").exists()


def test_fewer_pictures_than_to_hold_out_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="2,000 of 60 pictures cannot be held out"):
        dogscats.split(flat(tmp_path / "d"))
