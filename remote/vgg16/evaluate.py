"""`python -m vgg16 evaluate`: which outputs of a network are right for a folder of pictures."""

from __future__ import annotations

import re

import numpy as np

from vgg16 import BadData


def top_k(probabilities: np.ndarray, truth: list[set[int]], k: int) -> float:
    """The share of rows (n, classes) of which one of the k most probable classes is in their truth."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean([bool(set(row) & right) for row, right in zip(best.tolist(), truth, strict=True)]))


def outputs_of(folders: tuple[str, ...], classes: list[str]) -> list[set[int]]:
    """For each folder of pictures the network's outputs that mean its class. Raises BadData.

    Two of ImageNet's classes may have one name. ImageNet's own folders have WordNet ids ("n01440764"), in
    the order of the outputs if all 1,000 are there.
    """
    if len(folders) == len(classes) and all(re.fullmatch(r"n\d{8}", name) for name in folders):
        return [{number} for number in range(len(folders))]
    numbers: dict[str, set[int]] = {}
    for number, name in enumerate(classes):
        numbers.setdefault(name, set()).add(number)
    if unknown := [name for name in folders if name not in numbers]:
        known = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
        raise BadData(f"no class of the network is named {unknown[0]!r}; it knows {known}")
    return [numbers[name] for name in folders]
