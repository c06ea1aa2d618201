"""The lesson in Chromium from `gpu-box jupyter` to its first executed cell, compared with direct access."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_aws import daemon

from .measure import command, in_turns, rounds
from .row import Row, Skipped, Wait

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_MS = 120_000
COMMAND = Path(sys.executable).with_name("gpu-box")
CONFIG = """\
region: us-east-1
ssh:
  key: ./key
  config: false
"""


@dataclass(frozen=True)
class Desk:
    """A project's folder and the environment of its commands."""

    folder: Path
    environment: dict[str, str]


def rows() -> Iterator[Row]:
    if CHROMIUM is None:
        raise Skipped("there is no Chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise Skipped("there is no Playwright: pip install playwright") from None
    with _box() as (desk, server), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def direct() -> float:
            server.end_sessions()  # no kernel yet
            began = time.perf_counter()
            return _first_cell(browser, server.page) - began

        def tunnelled() -> float:
            server.end_sessions()
            began = time.perf_counter()
            with _tunnel(desk) as address:
                return _first_cell(browser, address) - began

        direct()  # Chromium's and the kernel's files come off the disk
        times = in_turns({"ours": tunnelled, "direct": direct}, rounds(7))
        browser.close()
    ratio = times["ours"].against(times["direct"])
    yield Row(
        wait=Wait.JUPYTER, what="`gpu-box jupyter` to the lesson's first cell done", ours=str(times["ours"]),
        beside=f"direct access on the machine {times['direct']}", ratio=ratio, aim="1.2", met=ratio <= 1.2,
        runs=times["ours"].runs,
    )  # fmt: skip


class Server:
    """The box's JupyterLab at its port, without the tunnel."""

    def __init__(self, home: Path) -> None:
        [folder] = home.glob("embedded/machines/*/home/.gpu-box/jupyter")
        self._root = f"http://127.0.0.1:{(folder / 'port').read_text().strip()}"
        self._token = (folder / "token").read_text().strip()

    @property
    def page(self) -> str:
        return f"{self._root}/lab/tree/notebooks/lesson1.ipynb?token={self._token}"

    def end_sessions(self) -> None:
        for session in json.loads(self._ask("GET", "sessions")):
            self._ask("DELETE", f"sessions/{session['id']}")

    def _ask(self, method: str, what: str) -> bytes:
        request = urllib.request.Request(
            f"{self._root}/api/{what}", headers={"Authorization": f"token {self._token}"}, method=method
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            return bytes(answer.read())


def _first_cell(browser: Any, address: str) -> float:
    """The time when the first cell is done, with an empty browser cache."""
    page = browser.new_page()
    try:
        page.goto(address)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=PATIENCE_MS)
        page.get_by_text("| Idle").wait_for(timeout=PATIENCE_MS)
        cell = page.locator(".jp-CodeCell").first
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        cell.locator(".jp-InputPrompt", has_text=re.compile(r"\[\d+\]")).wait_for(timeout=PATIENCE_MS)
        return time.perf_counter()
    finally:
        page.context.close()


@contextmanager
def _tunnel(desk: Desk) -> Iterator[str]:
    words = [COMMAND, "--local", "jupyter", "--no-browser"]
    with subprocess.Popen(
        words,
        cwd=desk.folder,
        env=desk.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as link:
        assert link.stdout
        found = re.search(r"http\S+", link.stdout.readline())
        assert found
        try:
            yield found[0]
        finally:
            link.terminate()  # a shell in whose background this runs has it ignore Ctrl-C


@contextmanager
def _box() -> Iterator[tuple[Desk, Server]]:
    with tempfile.TemporaryDirectory(prefix="gpu-box-page-") as at:
        folder, home = Path(at, "project"), Path(at, "data")
        folder.mkdir()
        (folder / "config.yaml").write_text(CONFIG)
        desk = Desk(folder, {**os.environ, "GPU_BOX_HOME": str(home), "GPU_BOX_MACHINES": "process"})
        try:
            command([COMMAND, "--local", "up"], cwd=desk.folder, env=desk.environment)
            yield desk, Server(home)
        finally:
            daemon.stop(home)
            time.sleep(1)  # its machines' last writes
