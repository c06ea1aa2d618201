"""The lesson in a real browser, through the tunnel: it runs from top to bottom and shows its pictures; the
tab still works after the box has stopped and is up again at another address.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_aws import daemon

from ..user import COMMAND, CONFIG, User

RUN_ALL = "Run All Cells"
# JupyterLab removes cells that are out of sight from the page, with their pictures.
PLOT = ".jp-OutputArea-output img"
_PATIENCE_MS = 200_000


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    folder, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("data")
    (folder / "config.yaml").write_text(CONFIG)
    one = User(folder, {**os.environ, "GPU_BOX_HOME": str(home), "GPU_BOX_MACHINES": "process"})
    one.run("up")
    yield one
    daemon.stop(home)


@pytest.fixture(scope="module")
def opened(user: User) -> Iterator[tuple[str, Path]]:
    """The address that `gpu-box jupyter` passes to the browser, and its messages meanwhile."""
    address_file, said = user.folder / "address", user.folder / "said"
    # As webbrowser runs it: the address is its only argument.
    browser = user.folder / "browser"
    browser.write_text(
        f'#!/bin/sh\nprintf %s "$1" >{address_file}.part && mv {address_file}.part {address_file}\n'
    )
    browser.chmod(0o755)
    with said.open("w") as errors:
        link = subprocess.Popen(
            [COMMAND, "--local", "jupyter"],
            cwd=user.folder,
            env={**user.environment, "BROWSER": str(browser)},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    give_up = time.monotonic() + 60
    while not address_file.exists():
        assert link.poll() is None and time.monotonic() < give_up, said.read_text()
        time.sleep(0.05)
    yield address_file.read_text(), said
    link.send_signal(signal.SIGINT)
    assert link.wait(20) == 130


@pytest.fixture(scope="module")
def page(browser: Any, opened: tuple[str, Path]) -> Iterator[Any]:
    """Playwright's Page, on the lesson; `page.asked`: the address of every request."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(opened[0])
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    yield page
    context.close()


@pytest.mark.timeout(600)
def test_the_lesson_runs_from_top_to_bottom(page: Any) -> None:
    page.get_by_text("| Idle").wait_for()  # before its kernel is ready, nothing runs
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text(RUN_ALL, exact=True).click()
    page.locator(PLOT).first.wait_for()
    page.get_by_text("clipped at").first.wait_for()
    assert not page.get_by_text("Traceback").count()


def test_no_address_has_the_token_and_every_request_goes_to_jupyter(
    page: Any, opened: tuple[str, Path], user: User
) -> None:
    token = user.run("ssh", "--", "cat .gpu-box/jupyter/token").stdout.strip()
    here = page.url.partition("/lab")[0]
    door = opened[0].rpartition("/")[0]
    assert len(token) == 48 and token not in " ".join(page.asked)
    assert page.url == f"{here}/lab/tree/notebooks/lesson1.ipynb"
    ours = (here, here.replace("http", "ws"), door, "data:", "blob:")
    assert [url for url in page.asked if not url.startswith(ours)] == []


def test_the_address_admits_only_once(browser: Any, opened: tuple[str, Path], page: Any) -> None:
    other = browser.new_context()
    late = other.new_page()
    late.goto(opened[0])
    assert "/login" in late.url
    other.close()


@pytest.mark.timeout(600)
def test_the_tab_goes_on_when_the_box_is_up_again_elsewhere(
    page: Any, opened: tuple[str, Path], user: User
) -> None:
    before = user.json("status")["address"]
    user.run("stop")
    user.run("up")
    assert user.json("status")["address"] != before
    give_up = time.monotonic() + 60
    while "is back" not in opened[1].read_text():
        assert time.monotonic() < give_up, opened[1].read_text()
        time.sleep(0.1)
    page.reload()
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    assert "/login" not in page.url
