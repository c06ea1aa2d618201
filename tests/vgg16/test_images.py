"""Any file in the folder becomes pixels as the weights expect them, or a line that names it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vgg16 import BadData, UnreadableImage
from vgg16.data.augment import Augment
from vgg16.model import CAFFE, RANDOM, TORCHVISION
from vgg16.pictures import Batches, find_pictures, read_image

SMALL = RANDOM.at(32)


def gradient(width: int = 120, height: int = 80) -> np.ndarray:
    """Left to right darker to lighter, top red, bottom blue: turned, flipped or cut pictures show it."""
    x, y = np.linspace(0, 255, width), np.linspace(0, 255, height)
    red = np.repeat(255 - y[:, None], width, 1)
    return np.stack([red, np.repeat(x[None], height, 0), 255 - red], axis=2).round().astype(np.uint8)


def test_caffe_s_pictures_are_squashed_and_torchvision_s_are_cropped(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.fromarray(gradient(600, 300)).save(path)
    squashed = read_image(path, CAFFE)
    assert squashed.shape == (3, 224, 224) and squashed.dtype == np.uint8
    assert squashed[1, 0, 0] < 2 and squashed[1, 0, -1] > 253  # the whole width is there
    cropped = read_image(path, TORCHVISION)
    # Shorter side 300 -> 256, longer 600 -> 512; the middle 224 of 512 columns are left.
    assert cropped[1, 0, 0] == pytest.approx(255 * 144 / 512, abs=2)
    assert cropped[1, 0, -1] == pytest.approx(255 * 368 / 512, abs=2)


def test_torchvision_s_resizing_of_an_upright_picture(tmp_path: Path) -> None:
    path = tmp_path / "tall.png"
    Image.fromarray(gradient(300, 451)).save(path)
    pixels = read_image(path, TORCHVISION)
    resized = Image.open(path).resize((256, 384), Image.Resampling.BILINEAR)  # int(451 * 256 / 300)
    expected = np.asarray(resized)[80:304, 16:240].transpose(2, 0, 1)
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "YCbCr", "1", "I;16", "I", "F"])
def test_every_kind_of_picture_becomes_rgb(mode: str, tmp_path: Path) -> None:
    gray = gradient()[:, :, 1]
    if mode == "I;16":
        image = Image.fromarray(gray.astype(np.uint16) * 257)
    elif mode in ("I", "F"):
        image = Image.fromarray(
            (gray.astype(np.float64) * (257 if mode == "I" else 1)).astype(
                {"I": np.int32, "F": np.float32}[mode]
            )
        )
    else:
        image = Image.fromarray(gray).convert("RGB").convert(mode)
    path = tmp_path / ("picture.tif" if mode in ("CMYK", "YCbCr", "F", "I") else "picture.png")
    image.save(path)
    pixels = read_image(path, SMALL)
    assert pixels.shape == (3, 32, 32)
    # Dark on the left, light on the right, in every channel: 16 bits are scaled, not cut off at 255.
    assert (pixels[:, :, 1].mean(axis=1) < 60).all() and (pixels[:, :, -2].mean(axis=1) > 195).all()


def test_a_cmyk_jpeg_and_a_png_named_jpg_are_read(tmp_path: Path) -> None:
    Image.fromarray(gradient()).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(gradient()).save(tmp_path / "png.jpg", format="PNG")
    expected = read_image(tmp_path / "png.jpg", SMALL).astype(int)
    assert abs(read_image(tmp_path / "cmyk.jpg", SMALL).astype(int) - expected).mean() < 6


def test_a_camera_s_turned_picture_stands_upright(tmp_path: Path) -> None:
    upright = Image.fromarray(gradient())
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held 90 degrees turned
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright.save(tmp_path / "upright.jpg", quality=95)
    turned = read_image(tmp_path / "turned.jpg", SMALL).astype(int)
    assert abs(turned - read_image(tmp_path / "upright.jpg", SMALL)).mean() < 4


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(tmp_path: Path) -> None:
    Image.fromarray(gradient(1600, 1200)).save(tmp_path / "large.jpg", quality=95)
    Image.fromarray(gradient(1600, 1200)).save(tmp_path / "large.png")
    difference = read_image(tmp_path / "large.jpg", SMALL).astype(int) - read_image(
        tmp_path / "large.png", SMALL
    )
    assert abs(difference).max() <= 4


def broken(kind: str, path: Path) -> None:
    Image.fromarray(gradient()).save(path, quality=95)
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a picture")
    elif kind == "gone":
        path.unlink()
    elif kind == "folder":
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", "truncated"),
        ("empty", r"empty \(0 bytes\)"),
        ("text", "not a picture"),
        ("gone", "the file is gone"),
        ("folder", "directory"),
    ],
)
def test_a_broken_picture_is_named(kind: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "cat.7.jpg"
    broken(kind, path)
    with pytest.raises(UnreadableImage, match=message) as caught:
        read_image(path, SMALL)
    assert str(path) in str(caught.value)


def test_broken_pictures_are_left_out_once_named_and_the_others_come(tiny_set: Path) -> None:
    folder = tiny_set / "train"
    broken("truncated", folder / "dark" / "dark.3.jpg")
    broken("empty", folder / "light" / "light.99.png")
    said: list[str] = []
    batches = Batches(find_pictures(folder), SMALL, batch_size=8, shuffle=True, say=said.append)
    for epoch in range(2):
        seen = [row for _, rows in batches.epoch(epoch) for row in rows.tolist()]
        assert len(seen) == len(set(seen)) == 24
    assert len(said) == 2
    assert any("dark.3.jpg" in line and "truncated" in line for line in said)


def test_a_picture_that_vanishes_in_mid_epoch_stops_nothing(tiny_set: Path) -> None:
    batches = Batches(
        find_pictures(tiny_set / "train"), SMALL, batch_size=8, shuffle=False, say=lambda line: None
    )
    passing = batches.epoch(0)
    next(passing)
    (tiny_set / "train" / "light" / "light.9.png").unlink()
    assert sum(len(rows) for _, rows in passing) == 24 - 8 - 1
    assert list(batches.unreadable.values()) == [f"{tiny_set}/train/light/light.9.png: the file is gone"]


def test_folders_are_classes_in_alphabetical_order(tiny_set: Path) -> None:
    batches = Batches(find_pictures(tiny_set / "train"), SMALL, batch_size=5, shuffle=False)
    assert (batches.nb_sample, batches.nb_class) == (24, 2)
    assert batches.class_indices == {"dark": 0, "light": 1}
    assert batches.filenames[:2] == ["dark/dark.0.png", "dark/dark.1.png"]
    assert batches.classes.tolist() == [0] * 12 + [1] * 12
    images, labels = next(batches)
    assert images.shape == (5, 3, 32, 32) and images.dtype == np.uint8
    assert labels.tolist() == [[1.0, 0.0]] * 5
    for _ in range(5):  # 24 = 4 * 5 + 4; the sixth batch begins anew
        images, labels = next(batches)
    assert len(labels) == 5 and labels[:, 0].all()


def test_training_batches_come_in_another_order_every_epoch_and_the_same_for_a_seed(tiny_set: Path) -> None:
    folder = find_pictures(tiny_set / "train")

    def order(seed: int, epoch: int) -> list[int]:
        batches = Batches(folder, SMALL, batch_size=8, shuffle=True, seed=seed)
        return [row for _, rows in batches.epoch(epoch) for row in rows.tolist()]

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
    assert sorted(order(0, 0)) == list(range(24))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "no such folder"),
        (lambda root: root.mkdir(), "no sub-folder in it"),
        (lambda root: (root / "cat").mkdir(parents=True), "cat: no picture in this class's folder"),
    ],
)
def test_a_folder_without_pictures_is_named(make, message: str, tmp_path: Path) -> None:
    make(tmp_path / "train")
    with pytest.raises(BadData, match=message):
        find_pictures(tmp_path / "train")


def test_many_pictures_are_decoded_by_worker_processes(
    tiny_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = find_pictures(tiny_set / "train")
    alone = [images for images, _ in Batches(folder, SMALL, batch_size=8, shuffle=False).epoch(0)]
    monkeypatch.setattr("vgg16.pictures._WORKERS_FROM", 1)
    together = [images for images, _ in Batches(folder, SMALL, batch_size=8, shuffle=False).epoch(0)]
    assert all((one == other).all() for one, other in zip(alone, together, strict=True))


def test_augmented_pictures_vary_by_epoch_and_repeat_by_seed(tiny_set: Path) -> None:
    folder = find_pictures(tiny_set / "train")
    batches = Batches(folder, SMALL, batch_size=24, shuffle=False, augment=Augment())
    (first, _), (second, _), (again, _) = (next(batches.epoch(number)) for number in (0, 1, 0))
    assert (first != second).any() and (first == again).all()


def test_augmentation_moves_a_picture_by_no_more_than_asked() -> None:
    picture = np.zeros((100, 100, 3), dtype=np.uint8)
    picture[45:55, 45:55] = 255
    augment = Augment(rotate_degrees=0, shift=0.2, zoom=0, flip=False)
    places = set()
    for seed in range(20):
        varied = np.asarray(augment.vary(Image.fromarray(picture), np.random.default_rng(seed)))[:, :, 0]
        rows, columns = np.nonzero(varied > 127)
        y, x = rows.mean() - 49.5, columns.mean() - 49.5
        assert abs(x) <= 21 and abs(y) <= 21
        places.add((round(x), round(y)))
    assert len(places) > 15
