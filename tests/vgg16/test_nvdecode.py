"""The GPU's decoder, here on the library's CPU codec: the same code but for the kernels that decode. Tests of
the GPU itself are skipped without one; run them on a box by

    python -m pytest tests/vgg16/test_nvdecode.py -k gpu
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vgg16 import Problem
from vgg16.data import nvdecode
from vgg16.data.augment import Augment
from vgg16.data.nvdecode import Decoder, whole_jpeg
from vgg16.lesson import Vgg16
from vgg16.model import CAFFE, RANDOM, TORCHVISION, Preprocessing
from vgg16.pictures import Batches, find_pictures, read_image
from vgg16.report import Silent

pytest.importorskip("nvidia.nvimgcodec", reason="nvImageCodec has no wheel for this system")
SMALL = RANDOM.at(32)
CPU = torch.device("cpu")


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Soft shapes and some noise, as a photograph has."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((soft + random.integers(-6, 7, soft.shape)).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder(CPU)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Every kind of file, good and bad, in one class's folder, and five JPEGs in the other's."""
    root = tmp_path / "mixed"
    odd, plain = root / "odd", root / "plain"
    odd.mkdir(parents=True)
    plain.mkdir()
    for number in range(5):
        photograph(60 + number, 50, number).save(plain / f"{number}.jpg", quality=90)
    photo = photograph(90, 60)
    photo.convert("L").save(odd / "gray.jpg")
    photo.convert("CMYK").save(odd / "cmyk.jpg")
    photo.save(odd / "progressive.jpg", progressive=True)
    photo.save(odd / "rgb_inside.jpg", keep_rgb=True)
    photo.save(odd / "png.jpg", format="PNG")
    photo.save(odd / "picture.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(odd / "turned.jpg", exif=exif)
    whole = (odd / "progressive.jpg").read_bytes()
    (odd / "padded.jpg").write_bytes(whole + bytes(100))
    (odd / "truncated.jpg").write_bytes((plain / "0.jpg").read_bytes()[:900])
    (odd / "empty.jpg").write_bytes(b"")
    (odd / "text.jpg").write_text("not a picture")
    (odd / "markers.jpg").write_bytes(b"\xff\xd8 nothing between them \xff\xd9")
    return root


def batches(root: Path, decoder: Decoder | None, said: list[str] | None = None, size: int = 4) -> Batches:
    say = (said if said is not None else []).append
    return Batches(find_pictures(root), SMALL, batch_size=size, shuffle=True, say=say, decoder=decoder)


@pytest.mark.parametrize("preprocessing", [TORCHVISION, CAFFE, RANDOM.at(48)], ids=lambda p: p.name)
@pytest.mark.parametrize(
    "size", [(300, 451), (500, 374), (180, 120)], ids=lambda size: "x".join(map(str, size))
)
def test_pixels_are_pillow_s_within_one_step(
    size: tuple[int, int], preprocessing: Preprocessing, decoder: Decoder, tmp_path: Path
) -> None:
    path = tmp_path / "photograph.jpg"
    photograph(*size).save(path, quality=95)
    content = whole_jpeg(path)
    assert content is not None
    (ours,) = decoder([torch.frombuffer(bytearray(content), dtype=torch.uint8)], preprocessing)
    assert ours is not None and ours.dtype == torch.uint8
    theirs = read_image(path, preprocessing)
    # Where Pillow reads a JPEG at half its size, it has averaged before: alike, no more.
    reduced = min(size) >= 4 * preprocessing.size
    difference = abs(ours.numpy().astype(int) - theirs)
    assert difference.shape == (3, preprocessing.size, preprocessing.size)
    assert difference.max() <= (6 if reduced else 1) and difference.mean() < (1 if reduced else 0.5)


@pytest.mark.parametrize("workers", [False, True])
def test_the_same_pictures_come_and_the_same_ones_are_left_out(
    workers: bool, mixed: Path, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    if workers:
        monkeypatch.setattr("vgg16.pictures._WORKERS_FROM", 1)
    said: dict[str, list[str]] = {"pillow": [], "nv": []}
    pillows, ours = batches(mixed, None, said["pillow"]), batches(mixed, decoder, said["nv"])
    for (theirs, their_rows), (images, rows) in zip(pillows.epoch(1), ours.epoch(1), strict=True):
        assert rows.tolist() == their_rows.tolist()
        assert (images.int() - theirs.int()).abs().max() <= 1
    assert said["nv"] == said["pillow"] and len(said["nv"]) == 4
    assert ours.unreadable == pillows.unreadable
    assert ours.decoded_by.startswith("nvimgcodec") and pillows.decoded_by == "pillow"


def test_what_the_decoder_gives_up_pillow_reads(
    mixed: Path, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    gave_up = []

    def broken(files, preprocessing):
        gave_up.extend(files)
        return [None] * len(files)

    theirs = [images for images, _ in batches(mixed, None).epoch(0)]
    monkeypatch.setattr(Decoder, "__call__", lambda self, *given: broken(*given))
    ours = [images for images, _ in batches(mixed, decoder).epoch(0)]
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert len(gave_up) == 9  # what it was asked for: neither CMYK, PNG, RGB inside nor anything damaged


def test_one_file_that_the_library_refuses_costs_no_other(decoder: Decoder, mixed: Path) -> None:
    good = torch.frombuffer(bytearray((mixed / "plain" / "0.jpg").read_bytes()), dtype=torch.uint8)
    bad = torch.frombuffer(bytearray(b"no JPEG at all"), dtype=torch.uint8)
    first, second, third = decoder([good, bad, good], SMALL)
    assert second is None
    assert first is not None and third is not None and torch.equal(first, third)


def test_a_file_that_vanishes_in_mid_epoch_is_left_out(mixed: Path, decoder: Decoder) -> None:
    said: list[str] = []
    shutil.rmtree(mixed / "odd")
    (mixed / "odd").mkdir()
    photograph(40, 40).save(mixed / "odd" / "a.jpg")
    some = batches(mixed, decoder, said, size=1)
    seen = 0
    for _ in some.epoch(0):
        if not seen:
            shutil.rmtree(mixed / "plain")
        seen += 1
    assert 1 <= seen < 6 and len(said) == 6 - seen
    assert all("the file is gone" in line for line in said)


def test_leaving_in_mid_epoch_ends_the_thread_and_its_errors_come_through(
    mixed: Path, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    epoch = batches(mixed, decoder, size=1).epoch(0)
    next(epoch)
    epoch.close()
    assert "decoding" not in [thread.name for thread in threading.enumerate()]

    def failing(*_: object) -> None:
        raise ZeroDivisionError("of the decoder")

    monkeypatch.setattr(Decoder, "__call__", failing)
    with pytest.raises(ZeroDivisionError, match="of the decoder"):
        list(batches(mixed, decoder).epoch(0))


def test_augmented_pictures_are_pillow_s(mixed: Path, decoder: Decoder) -> None:
    folder = find_pictures(mixed)
    varied = Batches(folder, SMALL, batch_size=4, shuffle=True, augment=Augment(), decoder=decoder)
    assert varied.decoded_by == "pillow" and varied.decoder is None


def test_features_of_one_decoder_are_never_taken_for_another_s(mixed: Path, tmp_path: Path) -> None:
    def folders(decoder: str) -> set[str]:
        vgg = Vgg16("none", size=32, width=4, cache=tmp_path / "cache", decoder=decoder, report=Silent())
        found = vgg.get_batches(mixed, batch_size=8)
        vgg.finetune(found)
        list(vgg.source(found).epoch(0))
        return {path.name for path in (tmp_path / "cache").iterdir()}

    first = folders("pillow")
    assert len(first) == 1 and folders("pillow") == first
    both = folders("nvimgcodec")
    assert len(both) == 2 and both > first


def test_the_gpu_decodes_where_there_is_one_and_the_package_and_nowhere_else() -> None:
    said: list[str] = []
    assert nvdecode.choose("auto", CPU, said.append) is None
    assert nvdecode.choose("pillow", torch.device("cuda"), said.append) is None
    chosen = nvdecode.choose("nvimgcodec", CPU, said.append)
    assert chosen is not None and chosen.name.startswith("nvimgcodec 0.") and chosen.name.endswith(" on cpu")
    assert said == []


def test_a_gpu_without_the_package_leaves_it_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Decoder, device: torch.device) -> None:
        raise ImportError("No module named 'nvidia'")

    monkeypatch.setattr(Decoder, "__init__", missing)
    said: list[str] = []
    assert nvdecode.choose("auto", torch.device("cuda"), said.append) is None and said == []
    with pytest.raises(Problem, match="not installed here: pip install nvidia-nvimgcodec"):
        nvdecode.choose("nvimgcodec", torch.device("cuda"), said.append)


def test_a_gpu_whose_codec_does_not_work_is_named_and_pillow_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decoder, "_decoded", lambda self, files: [None] * len(files))
    with pytest.raises(Problem, match="decodes no JPEG here"):
        Decoder(CPU)
    said: list[str] = []
    monkeypatch.setattr(
        Decoder, "__init__", lambda self, device: (_ for _ in ()).throw(Problem("it decodes no JPEG here"))
    )
    assert nvdecode.choose("auto", torch.device("cuda"), said.append) is None
    assert said == ["no decoding on the GPU (it decodes no JPEG here): Pillow decodes"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: its own kernels cannot be tried")
def test_a_gpu_decodes_alike_twice_and_in_any_company(mixed: Path) -> None:
    """Not exactly as Pillow (other rounding of the cosine transform), and exactly as itself."""
    gpu = Decoder(torch.device("cuda"))
    first, again = batches(mixed, gpu), batches(mixed, gpu, size=3)
    pillows = batches(mixed, None)
    found: dict[int, torch.Tensor] = {}
    for (images, rows), (theirs, _) in zip(first.epoch(0), pillows.epoch(0), strict=True):
        assert images.is_cuda and (images.cpu().int() - theirs.int()).abs().float().mean() < 2
        found |= dict(zip(rows.tolist(), images, strict=True))
    for images, rows in again.epoch(0):
        assert all(torch.equal(found[row], image) for row, image in zip(rows.tolist(), images, strict=True))
