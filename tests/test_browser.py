"""The lesson in a real browser, through the tunnel: opened, run from top to bottom, its pictures seen.

Needs Chromium and Playwright, which `make test-browser` brings.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_box.embedded import daemon

from .user import COMMAND, CONFIG, User

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not here: `make test-browser`")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
RUN_ALL = "Run All Cells"
# JupyterLab takes cells that are out of sight out of the page, and their pictures with them.
PLOT = ".jp-OutputArea-output img"


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    folder, home = tmp_path / "project", tmp_path / "data"
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    one = User(folder, {**os.environ, "GPU_BOX_HOME": str(home), "GPU_BOX_MACHINES": "process"})
    one.run("up")
    yield one
    daemon.stop(home)


@pytest.fixture
def address(user: User) -> Iterator[str]:
    words = [COMMAND, "--local", "jupyter", "--no-browser"]
    link = subprocess.Popen(
        words,
        cwd=user.folder,
        env=user.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert link.stdout
    found = re.search(r"http\S+", link.stdout.readline())
    assert found
    yield found[0]
    link.send_signal(signal.SIGINT)
    link.wait(20)
    link.stdout.close()


@pytest.mark.timeout(600)
def test_the_lesson_runs_from_top_to_bottom_and_the_token_does_not_stay_in_the_address(address: str) -> None:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
        assert page.url == address.partition("?")[0]
        page.get_by_text("| Idle").wait_for(timeout=120_000)  # before its kernel is there, nothing runs
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text(RUN_ALL, exact=True).click()
        page.locator(PLOT).first.wait_for(timeout=200_000)
        page.get_by_text("clipped at").first.wait_for(timeout=200_000)
        assert not page.get_by_text("Traceback").count()
        here = address.partition("/lab")[0]
        assert not [
            url for url in asked if not url.startswith((here, here.replace("http", "ws"), "data:", "blob:"))
        ]
        browser.close()
