"""Small networks, one thread, caches in the test's own folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vgg16.data import faces

torch.set_num_threads(1)  # several suites share the cores: more would wait for each other


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGG16_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("VGG16_WEIGHTS", "VGG16_SIZE", "GPU_BOX_DOLLARS_PER_HOUR"):
        monkeypatch.delenv(name, raising=False)
    if torch.version.cuda is None:  # the developer's card, which a CPU build cannot use, is no error here
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture(scope="session")
def face_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 200 real photographs. Read only: shared by all tests."""
    folder = tmp_path_factory.mktemp("data") / "faces"
    faces.prepare(folder)
    return folder


@pytest.fixture
def tiny_set(tmp_path: Path) -> Path:
    """24 training and 8 held-out pictures, light or dark, easy for any network; test/unknown has 4."""
    random = np.random.default_rng(0)
    root = tmp_path / "tiny"
    for part, count in (("train", 12), ("valid", 4)):
        for name, level in (("dark", 60), ("light", 190)):
            for number in range(count):
                _save(root / part / name / f"{name}.{number}.png", level, random)
    for number in range(1, 5):
        _save(root / "test" / "unknown" / f"{number}.png", 60 if number % 2 else 190, random)
    return root


def _save(path: Path, level: int, random: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = random.integers(-8, 8, size=(40, 48, 3))
    Image.fromarray((level + noise).astype(np.uint8)).save(path)
