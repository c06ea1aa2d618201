"""JPEGs to pixels on the GPU, by NVIDIA's nvImageCodec: on the card's JPEG engine where it has one (A100,
H100), else on its cores. Everything else, and what it cannot decode, stays with Pillow (`images`).

It rounds otherwise than Pillow: the pixels are alike, not the same, so the feature cache keeps apart what
different decoders made (`Decoder.name`). For one decoder and card they are the same every time: which engine
takes a picture depends on the picture alone, never on its batch.
"""

from __future__ import annotations

import io
import os
import queue
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vgg16.data.images import geometry
from vgg16.errors import Problem
from vgg16.preprocess import Preprocessing

NAMES = ("auto", "pillow", "nvimgcodec")
_AHEAD = 2  # batches, decoded and waiting

T = TypeVar("T")


class Decoder:
    """device: a GPU; or the CPU, by nvImageCodec's own libjpeg-turbo: what the tests run.

    Raises ImportError without the package, Problem where it decodes nothing here.
    """

    def __init__(self, device: torch.device) -> None:
        os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")  # what it gives up, Pillow names
        with _quiet():
            from nvidia import nvimgcodec as nv

            kinds, number = [nv.BackendKind.CPU_ONLY], nv.NVIMGCODEC_DEVICE_CPU_ONLY
            if device.type == "cuda":
                # The whole load for the first that can, or the rounding would depend on the batch.
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

    def ahead(self, batches: Iterable[T], finish: Callable[[T], tuple[Tensor, ...]]) -> Iterator[tuple]:
        """finish(batch) for each, some ahead of who takes them, on a thread and a stream of their own."""
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
            except BaseException as error:  # raised again where it is waited for
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
        except RuntimeError:  # of one, for all of them
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
    """name: one of NAMES; None is Pillow. "auto": the GPU decodes where there are one and the package.

    Raises Problem for another name, and where the decoder that is asked for is not to be had.
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
    """(h, w, 3) bytes -> (3, size, size): as `images.pixels`, within the rounding of one step.

    None where memory does not hold it. PyTorch's antialiased bilinear filter is Pillow's.
    """
    (width, height), (left, top, right, bottom) = geometry(image.shape[1], image.shape[0], preprocessing)
    try:
        flow = image.permute(2, 0, 1)[None].float()
        flow = F.interpolate(flow, (height, width), mode="bilinear", antialias=True)
    except torch.OutOfMemoryError:
        return None
    return flow[0, :, top:bottom, left:right].round_().clamp_(0, 255).to(torch.uint8)


def _probe() -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (32, 32), "orange").save(held, "JPEG")
    return held.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """nvImageCodec's C++ tells standard error, as it loads, of codecs (TIFF, JPEG 2000) not installed."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
