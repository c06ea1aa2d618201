"""Programs from PyPI for comparison, each in its own cached environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .row import Skipped


def gpu_box() -> Path:
    """gpu-box as pip installs it, without the development dependencies."""
    folder, root = _cache() / "gpu-box", Path(__file__).resolve().parents[1]
    try:
        if not (folder / "bin" / "python").exists():
            subprocess.run(
                [sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, text=True
            )
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--compile"]
        for words in ([*pip, str(root)], [*pip, "--no-deps", "--force-reinstall", str(root)]):
            subprocess.run(words, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip() or "no reason given").splitlines()[-1]
        raise Skipped(f"gpu-box cannot be installed: {said}") from None
    return folder / "bin" / "gpu-box"


def program(package: str, command: str) -> Path:
    """The path of `command` from this package. Raises Skipped if it cannot be installed."""
    folder = _cache() / package.partition("[")[0]
    found = folder / "bin" / command
    if not (folder / "whole").exists():
        print(f"installing {package} into {folder}", file=sys.stderr, flush=True)
        venv = [sys.executable, "-m", "venv", "--clear", str(folder)]
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--compile", package]
        try:
            for words in (venv, pip):
                subprocess.run(words, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            said = (error.stderr.strip() or "no reason given").splitlines()[-1]
            raise Skipped(f"{package} cannot be installed: {said}") from None
        (folder / "whole").touch()
    return found


def _cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "gpu-box" / "benchmarks"
