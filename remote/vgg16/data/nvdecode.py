"""JPEGs to pixels on the GPU, by NVIDIA's nvImageCodec: on the card's JPEG engine if it has one (A100, H100),
else on its cores. Pillow decodes all other files, and JPEGs that nvImageCodec cannot decode.

It rounds differently from Pillow: the pixels are alike, not the same, so the feature cache keeps decoders
apart (`Decoder.name`). For one decoder and card they are the same every time: which engine takes a picture
depends on the picture alone, never on its batch.
"""

from __future__ import annotations

import io
import os
import queue
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vgg16 import Problem, UnreadableImage, pictures
from vgg16.memory import shortage
from vgg16.model import Preprocessing
from vgg16.pictures import Pictures, Read, geometry, read_image

NAMES = ("auto", "pillow", "nvimgcodec")
_AHEAD = 2  # batches, decoded and waiting
_LARGEST_PIXELS = 50_000_000  # 12 bytes each as floats; Pillow reads a larger JPEG at a part of its size

T = TypeVar("T")


class Encoded(NamedTuple):
    """A batch as the workers leave it. rows: (n,) of readable files, each one in images or content."""

    images: Tensor
    """(m, 3, size, size) bytes: those that a worker decoded."""
    rows: Tensor
    content: Tensor
    """The bytes of the other n - m files, one behind the other."""
    lengths: Tensor
    """(n,) of each row in content; 0: it is the next one in images."""
    problems: list[tuple[int, str]]


class Files:
    """As `Pictures`, but whole JPEGs stay as they are: `Encoded`."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def __getitem__(self, rows: np.ndarray) -> Encoded:
        folder = self._pictures.folder
        jpegs = {row: whole_jpeg(folder.root / folder.files[row]) for row in rows.tolist()}
        others = np.array([row for row, jpeg in jpegs.items() if jpeg is None], dtype=np.int64)
        images, decoded, problems = self._pictures[others]
        ours = decoded.tolist()
        readable = {row: jpeg or b"" for row, jpeg in jpegs.items() if jpeg or row in ours}
        # As one tensor: it comes out of the worker through shared memory.
        content = b"".join(readable.values())
        return Encoded(
            images=images,
            rows=torch.tensor(list(readable), dtype=torch.int64),
            content=torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0),
            lengths=torch.tensor([len(jpeg) for jpeg in readable.values()]),
            problems=problems,
        )


def whole_jpeg(path: str | Path) -> bytes | None:
    """The file, if it is a JPEG to its end, 8 bits, gray or the usual YCbCr, which all decoders read alike.

    Otherwise None: `pictures.open_image` finds out what it is, or what is wrong with it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = Path(path).read_bytes()
            # A truncated file lacks its end marker (some cameras pad behind it); Pillow says what is missing.
            if not content.startswith(b"\xff\xd8") or not content.rstrip(b"\0").endswith(b"\xff\xd9"):
                return None
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:  # its header alone
                usual = image.mode in ("RGB", "L") and image.info.get("adobe_transform") != 0
                return content if usual and image.width * image.height <= _LARGEST_PIXELS else None
    except Exception:  # a damaged header fails in any way; open_image words it
        return None


class Decoder:
    """device: a GPU; or the CPU, by nvImageCodec's own libjpeg-turbo: what the tests run.

    Raises ImportError without the package, Problem where it decodes nothing here.
    """

    def __init__(self, device: torch.device) -> None:
        os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")  # Pillow names what it cannot decode
        with _quiet():
            from nvidia import nvimgcodec as nv

            kinds, number = [nv.BackendKind.CPU_ONLY], nv.NVIMGCODEC_DEVICE_CPU_ONLY
            if device.type == "cuda":
                # The first that can takes the whole load, or the rounding would depend on the batch.
                kinds = [nv.BackendKind.HW_GPU_ONLY, nv.BackendKind.GPU_ONLY, nv.BackendKind.HYBRID_CPU_GPU]
                number = torch.cuda.current_device() if device.index is None else device.index
            backends = [nv.Backend(kind, load_hint=1.0) for kind in kinds]
            # Colours between samples as libjpeg-turbo, and so Pillow, computes them.
            self._nv = nv.Decoder(device_id=number, backends=backends, options=":fancy_upsampling=1")
        self.device = device
        where = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        self.name = f"nvimgcodec {nv.__version__} on {where}"
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        if self._decoded([np.frombuffer(_probe(), dtype=np.uint8)])[0] is None:
            raise Problem(f"{self.name} decodes no JPEG here")

    def __call__(self, files: Sequence[Tensor], preprocessing: Preprocessing) -> list[Tensor | None]:
        """Whole JPEG files, bytes -> (3, size, size) bytes each, on the device; None: Pillow may try."""
        images = self._decoded([file.numpy() for file in files])
        return [None if image is None else _resized(image, preprocessing) for image in images]

    def read(self, found: Pictures, plan: Sequence[np.ndarray]) -> Iterator[Read]:
        """The batches of the plan, decoded ahead of the loop. Workers decode what is not a whole JPEG."""
        batches = pictures.read(Files(found), plan)
        return self._ahead(batches, partial(self._finish, found))

    def _finish(self, found: Pictures, batch: Encoded) -> Read:
        """Decode a batch's JPEGs and put them between the pictures that the workers decoded, in order."""
        lengths, folder = batch.lengths.tolist(), found.folder
        files = batch.content.split([length for length in lengths if length])
        theirs = iter(self(files, found.preprocessing) if any(lengths) else ())
        ours = iter(batch.images.to(self.device, non_blocking=True))
        images, rows, problems = [], [], list(batch.problems)
        for row, length in zip(batch.rows.tolist(), lengths, strict=True):
            image = next(theirs) if length else next(ours)
            if image is None:
                try:
                    pillows = read_image(folder.root / folder.files[row], found.preprocessing)
                except UnreadableImage as error:
                    problems.append((row, str(error)))
                    continue
                image = torch.from_numpy(pillows).to(self.device)
            images.append(image)
            rows.append(row)
        stacked = torch.stack(images) if images else torch.empty(0, device=self.device)
        return stacked, torch.tensor(rows, dtype=torch.int64), problems

    def _ahead(self, batches: Iterable[T], finish: Callable[[T], Read]) -> Iterator[Read]:
        """finish(batch) for each, up to _AHEAD of them early, on a thread and a stream of their own."""
        ready: queue.Queue[object] = queue.Queue(_AHEAD)
        left = threading.Event()

        def put(thing: object) -> bool:
            while not left.is_set():
                with suppress(queue.Full):
                    ready.put(thing, timeout=0.1)
                    return True
            return False

        def work() -> None:
            try:
                with torch.cuda.stream(self._stream) if self._stream else nullcontext():
                    for batch in batches:
                        done = finish(batch)
                        if not put((done, self._stream.record_event() if self._stream else None)):
                            return
                put(None)
            except BaseException as error:  # raised again in the loop
                put(error)

        thread = threading.Thread(target=work, name="decoding", daemon=True)
        thread.start()
        try:
            while (thing := ready.get()) is not None:
                if isinstance(thing, BaseException):
                    raise thing
                done, decoded = thing
                if decoded is not None:
                    current = torch.cuda.current_stream(self.device)
                    current.wait_event(decoded)  # the GPU waits, not the loop
                    done[0].record_stream(current)
                yield done
        finally:
            left.set()
            thread.join()

    def _decoded(self, files: list[np.ndarray]) -> list[Tensor | None]:
        """(h, w, 3) bytes each, on the device."""
        stream = torch.cuda.current_stream(self.device).cuda_stream if self._stream else 0
        try:
            images = self._nv.decode(files, cuda_stream=stream)
        except RuntimeError:  # one file fails all of them
            return [None] * len(files) if len(files) == 1 else [self._decoded([file])[0] for file in files]
        return [
            None
            if image is None
            else torch.as_tensor(image, device=self.device)
            if self._stream
            else torch.from_numpy(np.asarray(image))
            for image in images
        ]


def choose(name: str, device: torch.device, say: Callable[[str], None]) -> Decoder | None:
    """name: one of NAMES; None is Pillow. "auto": the GPU decodes if there is one and the package.

    Raises Problem for another name, and for a decoder that is not available here.
    """
    if name not in NAMES:
        raise Problem(f"decoder {name!r}: take one of {', '.join(NAMES)}")
    if name == "pillow" or (name == "auto" and device.type != "cuda"):
        return None
    try:
        return Decoder(device)
    except ImportError:
        if name == "auto":
            return None
        raise Problem(
            "nvImageCodec is not installed here: pip install nvidia-nvimgcodec-cu12[nvjpeg]"
        ) from None
    except (Problem, RuntimeError) as error:
        if name != "auto":
            raise Problem(f"no decoding on the GPU: {error}") from None
        say(f"no decoding on the GPU ({error}): Pillow decodes")
        return None


def _resized(image: Tensor, preprocessing: Preprocessing) -> Tensor | None:
    """(h, w, 3) bytes -> (3, size, size): as `pictures.pixels`, within the rounding of one step.

    None if memory does not hold it. PyTorch's antialiased bilinear filter is Pillow's.
    """
    (width, height), (left, top, right, bottom) = geometry(image.shape[1], image.shape[0], preprocessing)
    try:
        flow = image.permute(2, 0, 1)[None].float()
        flow = F.interpolate(flow, (height, width), mode="bilinear", antialias=True)
    except RuntimeError as error:
        if shortage(error):
            return None
        raise
    return flow[0, :, top:bottom, left:right].round_().clamp_(0, 255).to(torch.uint8)


def _probe() -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (32, 32), "orange").save(held, "JPEG")
    return held.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what nvImageCodec's C++ prints, as it loads, about codecs (TIFF, JPEG 2000) not installed."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
