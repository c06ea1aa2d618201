"""The data files of the package are found wherever it is run from."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_box import resources
from gpu_box.errors import GpuBoxError
from tests.paths import REMOTE, ROOT


def test_in_a_checkout_they_are_the_checkout_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    resources._root.cache_clear()
    assert resources.infra("gpus.yaml") == ROOT / "infra" / "gpus.yaml"
    assert resources.remote() == REMOTE
    assert resources.example_config() == ROOT / "config.example.yaml"


def test_an_installation_without_them_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "lib" / "gpu_box" / "resources.py"))
    resources._root.cache_clear()
    try:
        with pytest.raises(GpuBoxError, match="installed without its data files") as caught:
            resources.remote()
        assert caught.value.remedy == "Install it again: pip install --force-reinstall gpu-box"
    finally:
        resources._root.cache_clear()
