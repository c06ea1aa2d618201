"""Chooses the PyTorch build: for CPU without a card (CUDA's takes 4.6 GB), otherwise for the driver."""

import glob
import os
import platform
import sys
from typing import List, NamedTuple, Sequence, Tuple

from setup import pip_settings

VERSION = "2.13.0"
_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# Total of the wheels of `torch==2.13.0` on Linux in PyPI's simple API: 2.74 GB on x86-64, 2.87 GB on ARM.
_CUDA_SIZE = "2.9 GB to download, 4.6 GB on disk"
# Only the CUDA 12.6 build of PyTorch 2.13 supports Volta (compute capability 7.0):
# torch.cuda.PYTORCH_RELEASES_CODE_CC.
_FOR_VOLTA = "cu126"


class Source(NamedTuple):
    """One source of PyTorch: arguments for uv and a line for the user. size: shown as a warning."""

    requirement: str
    options: Tuple[str, ...]
    line: str
    size: str = ""


def sources(cards: Sequence[str]) -> List[Source]:
    """The sources to try, best first. cards: names from `card.models`.

    Without a card the CUDA build is last: it works but is large.
    """
    plain = "torch==" + VERSION
    if sys.platform == "darwin":
        return [Source(plain, (), "PyTorch for macOS")]
    if cards:
        # auto: uv picks the newest CUDA build that the driver supports.
        build = _FOR_VOLTA if any("V100" in name for name in cards) else "auto"
        return [
            Source(plain, ("--torch-backend", build), "PyTorch for this driver"),
            Source(plain, (), "PyTorch from the machine's package index"),
        ]
    cpu = plain + "+cpu"
    own = Source(cpu, (), "PyTorch for CPU, from the machine's own wheels")
    official = Source(
        cpu, ("--index", _CPU_INDEX, "--index-strategy", "unsafe-best-match"), "PyTorch for CPU"
    )
    last = Source(plain, (), "PyTorch with CUDA, from the package index", _CUDA_SIZE)
    return [own, official, last] if _is_at_hand() or _has_own_index() else [official, own, last]


def _is_at_hand() -> bool:
    pattern = "torch-%s+cpu-*%s.whl" % (VERSION, platform.machine())
    return any(glob.glob(os.path.join(folder, pattern)) for folder in pip_settings.find_links())


def _has_own_index() -> bool:
    settings = pip_settings.read()
    return any(key in settings for key in ("index-url", "extra-index-url"))
