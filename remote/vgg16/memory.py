"""Out of memory: the same work again in twice as many parts (`train.Portions`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vgg16 import TrainingFailed

if TYPE_CHECKING:
    from vgg16.train import Portions

# Errors of CUDA's libraries that mean a full GPU, in the words of public reports: cuBLAS and cuDNN allocate
# memory apart from PyTorch; cuDNN, if its workspace does not fit, also says that no engine does the work
# (github.com/pytorch/pytorch/issues/32564, github.com/open-mmlab/mmaction2/issues/493).
_CERTAIN = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "ALLOCATION_FAILED",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED and others of cuDNN 9
    "Triton Error [CUDA]: out of memory",
)
_LIKELY = (
    "CUDNN_STATUS_NOT_SUPPORTED",
    "unable to find an engine to execute",
    "nable to find a valid cuDNN algorithm",
)


def shortage(error: BaseException) -> str:
    """Why a smaller part of the work may succeed; "" if the error has another cause."""
    if isinstance(error, torch.OutOfMemoryError):
        return "out of memory"
    if not isinstance(error, RuntimeError):
        return ""
    text = str(error)
    if any(words in text for words in _CERTAIN):
        return "out of memory"
    line = next((line for line in text.splitlines() if any(words in line for words in _LIKELY)), "")
    return f"probably out of memory ({line.strip()})" if line else ""


def double(portions: Portions, pictures: int, reason: str) -> None:
    """More parts for the next try. Raises TrainingFailed if each has one picture already."""
    if portions.count >= pictures:
        raise TrainingFailed(f"{reason} with a single picture: take a smaller --image-size, or a larger box")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    portions.count *= 2
    at_once = -(-pictures // portions.count)
    portions.say(f"{reason}: from here on {at_once} pictures at once, same batch size")
