"""Another user of the computer, and a web page in the browser, at the embedded cloud."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .. import needs
from . import strangers
from .strangers import NEIGHBOUR, WEB_PAGE


@needs.root
@pytest.mark.parametrize("move", NEIGHBOUR)
def test_a_neighbour_gets_nothing(move: str, cloud_home: Path, embedded_exports: dict[str, str]) -> None:
    # Everyone may enter the folders above: only the cloud's own folder stands in the way.
    for folder in [cloud_home, *list(cloud_home.parents)[:-2]]:
        folder.chmod(folder.stat().st_mode | 0o055)
    words = [sys.executable, strangers.__file__, move, str(cloud_home), embedded_exports["AWS_ENDPOINT_URL"]]
    said = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip() == ""


@pytest.mark.parametrize("move", WEB_PAGE)
def test_a_web_page_gets_nothing(move: str, embedded_exports: dict[str, str]) -> None:
    assert WEB_PAGE[move](embedded_exports["AWS_ENDPOINT_URL"]) == ""


def test_its_owner_is_answered(embedded_exports: dict[str, str]) -> None:
    """So that the tests above are refused for who asks."""
    assert strangers.ask(f"{embedded_exports['AWS_ENDPOINT_URL']}/checkip").startswith("200")
