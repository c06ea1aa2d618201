"""A reader of .safetensors: eight bytes of length, a JSON header, then tensors; nothing in it can run code.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vgg16.errors import BadWeights

_KINDS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name; the file is mapped, not read. Raises BadWeights where lengths or offsets do not
    fit.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        if size < 8 or start > size:
            raise BadWeights(f"{path}: not a safetensors file, or cut off")
        try:
            header = json.loads(file.read(start - 8))
        except ValueError:
            raise BadWeights(f"{path}: not a safetensors file (its header is not JSON)") from None
    # Copy-on-write: torch wants memory that may be written to.
    data = torch.from_numpy(np.memmap(path, dtype=np.uint8, mode="c"))
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        kind, shape, (begin, end) = _KINDS.get(entry["dtype"]), entry["shape"], entry["data_offsets"]
        if kind is None:
            raise BadWeights(f"{path}: {name} is of type {entry['dtype']}; floats are expected")
        if not 0 <= begin <= end <= size - start or end - begin != math.prod(shape) * kind.itemsize:
            raise BadWeights(f"{path}: {name} lies outside of the file: it is cut off or damaged")
        # A slice may start at any byte; a copy is aligned.
        tensors[name] = data[start + begin : start + end].clone().view(kind).reshape(shape)
    return tensors
