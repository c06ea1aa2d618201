"""Kaggle's files into the lesson's layout: the same split every time, nothing lost, nothing outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.paths import REMOTE

from vgg16 import BadData
from vgg16.__main__ import main
from vgg16.data import dogscats
from vgg16.data.archive import DamagedArchive


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
    words = ["--zip", *map(str, zips), "--to", str(to), "--valid", "12"]
    assert main(["fetch", *words]) == 0
    files = tree(to)
    train = [name for name in files if name.startswith("train/")]
    valid = [name for name in files if name.startswith("valid/")]
    assert (len(train), len(valid)) == (48, 12)
    assert sorted(Path(name).name for name in train + valid) == sorted(names())
    assert all(Path(name).name.startswith(Path(name).parent.name) for name in train + valid)
    assert len([name for name in files if name.startswith("test/unknown/")]) == 10
    assert all(files[name] == Path(name).name.encode() for name in train + valid)
    before = {path: path.stat().st_mtime_ns for path in to.rglob("*")}
    assert main(["fetch", *words]) == 0
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
        assert main(["split", str(root), "--valid", "12", "--seed", str(seed)]) == 0
        held_out.append(sorted(path.name for path in (root / "valid").rglob("*.jpg")))
    assert held_out[0] == held_out[1] != held_out[2]


def test_another_seed_splits_anew_and_leaves_no_old_sample(tmp_path: Path) -> None:
    once, twice = flat(tmp_path / "once"), flat(tmp_path / "twice")
    dogscats.split(twice, valid=12, sample=(10, 5), seed=0)
    for root in (once, twice):
        dogscats.split(root, valid=12, sample=(10, 5), seed=1)
    assert tree(once) == tree(twice)


def test_the_lesson_s_numbers_are_2000_held_out_and_a_sample_of_200_and_50(tmp_path: Path) -> None:
    root = tmp_path / "d"
    (root / "train").mkdir(parents=True)
    (root / "test").mkdir()
    for name in names(1200):
        (root / "train" / name).touch()
    for number in range(3):
        (root / "test" / f"{number}.jpg").touch()
    dogscats.split(root)
    parts = ("train", "valid", "sample/train", "sample/valid")
    assert [len(list((root / part).rglob("*.jpg"))) for part in parts] == [400, 2000, 200, 50]
    for part in parts:
        assert sorted(path.name for path in (root / part).iterdir()) == ["cat", "dog"]
    assert len(list((root / "test" / "unknown").iterdir())) == 3


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
        dogscats.prepare(tmp_path / "to", [archive])
    assert [path.name for path in tmp_path.iterdir()] == ["train.zip"]


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("train/cat.1.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadData, match="would leave the folder"):
        dogscats.prepare(tmp_path / "to", [tmp_path / "train.zip"])


def test_a_damaged_or_missing_zip_is_named_and_leaves_nothing(
    zips: tuple[Path, Path], tmp_path: Path
) -> None:
    zips[0].write_bytes(zips[0].read_bytes()[:-100])
    with pytest.raises(BadData, match="train.zip: damaged"):
        dogscats.prepare(tmp_path / "to", [zips[0]])
    with pytest.raises(BadData, match="nowhere.zip: no such file"):
        dogscats.prepare(tmp_path / "to", [tmp_path / "nowhere.zip"])
    assert not (tmp_path / "to").exists()


def test_an_entry_damaged_inside_is_found_by_its_checksum(zips: tuple[Path, Path], tmp_path: Path) -> None:
    content = zips[0].read_bytes()
    at = content.index(b"dog.23.jpg", content.index(b"dog.23.jpg") + 1)  # its content, behind its header
    zips[0].write_bytes(content[:at] + b"DOG" + content[at + 3 :])
    with pytest.raises(DamagedArchive, match=r"train.zip: damaged.*dog\.23\.jpg"):
        dogscats.prepare(tmp_path / "to", [zips[0]], valid=12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.zip", "train.zip"]


def test_zips_in_a_zip_as_kaggle_s_client_fetches_them(zips: tuple[Path, Path], tmp_path: Path) -> None:
    whole = tmp_path / "dogs-vs-cats-redux-kernels-edition.zip"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in zips:
            archive.write(path, path.name)
        archive.writestr("sample_submission.csv", "id,label\n1,0.5\n")
        archive.writestr("__MACOSX/train/._cat.0.jpg", "a Mac's")
        archive.writestr("train/Thumbs.db", "a PC's")
    dogscats.prepare(tmp_path / "a", [whole], valid=12)
    dogscats.prepare(tmp_path / "b", zips, valid=12)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert (tmp_path / "a" / "sample_submission.csv").read_text() == "id,label\n1,0.5\n"
    assert {path.suffix for path in (tmp_path / "a").rglob("*") if path.is_file()} == {".jpg", ".csv", ".txt"}


def test_an_inner_zip_that_escapes_is_refused_as_well(zips: tuple[Path, Path], tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", {"../../evil.jpg": b"evil"})
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(zips[0], "train.zip")
        archive.write(inner, "test.zip")
    with pytest.raises(BadData, match="would leave the folder"):
        dogscats.prepare(tmp_path / "to", [tmp_path / "outer.zip"])
    assert {path.suffix for path in tmp_path.iterdir()} == {".zip"}


def test_two_versions_of_the_data_at_once_are_not_mixed(zips: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"cat.0.jpg comes twice"):
        dogscats.prepare(tmp_path / "to", [zips[0], *zips], valid=12)


def test_a_killed_preparation_is_not_taken_for_done(zips: tuple[Path, Path], tmp_path: Path) -> None:
    # Killed for good, so that no clean-up runs, by the 30th picture.
    script = f"""
import os, shutil, signal
from pathlib import Path
from vgg16.data import dogscats
copy, count = shutil.copyfileobj, 0
def counted(*args):
    global count
    count += 1
    if count == 30:
        os.kill(os.getpid(), signal.SIGKILL)
    copy(*args)
shutil.copyfileobj = counted
dogscats.prepare(Path({str(tmp_path / "to")!r}), [Path({str(zips[0])!r})], valid=12)
"""
    env = os.environ | {"PYTHONPATH": str(REMOTE)}
    killed = subprocess.run([sys.executable, "-c", script], env=env, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "to").exists()
    assert any(tmp_path.glob(".to.*.gpu-box-part"))  # what it left is beside, under another name
    dogscats.prepare(tmp_path / "to", zips, valid=12)
    assert len(list((tmp_path / "to").glob("[tv]*/*/*.jpg"))) == 70
    assert not any(tmp_path.glob(".to.*.gpu-box-part"))


def test_fewer_pictures_than_to_hold_out_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="2,000 of 60 pictures cannot be held out"):
        dogscats.split(flat(tmp_path / "d"))
