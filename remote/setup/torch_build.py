"""Which PyTorch: the CPU build where there is no card (CUDA's is 4.6 GB), else the one for the driver."""

import glob
import os
import platform
import sys
from typing import List, NamedTuple, Tuple

from setup import pip_settings

VERSION = "2.13.0"
_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# All wheels that `torch==2.13.0` brings on Linux, by the sizes in PyPI's simple API: 2.74 GB on x86-64,
# 2.87 GB on ARM.
_CUDA_SIZE = "2.9 GB to download, 4.6 GB on disk"


class Source(NamedTuple):
    """One way to get it: what to ask uv for, and how to say it. size: of a download that needs a warning."""

    requirement: str
    options: Tuple[str, ...]
    line: str
    size: str = ""


def sources(gpu: bool) -> List[Source]:
    """Ways to try, the best first. Without a card, a CUDA build comes last: it works, but it is large."""
    plain = "torch==" + VERSION
    if sys.platform == "darwin":
        return [Source(plain, (), "PyTorch for macOS")]
    if gpu:
        # uv reads the driver's version and takes the CUDA build that it can run.
        return [
            Source(plain, ("--torch-backend", "auto"), "PyTorch for this driver"),
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
