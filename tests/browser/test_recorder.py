"""JupyterLab in a real browser: what a kernel prints while no page is connected is in the notebook."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from watch.read.notebook import by_a_person

from ..machine.relay import relay
from .jupyter import Jupyter, installed

PATIENCE_MS = 120_000
OUTPUT = ".jp-OutputArea-output"
COUNT = "import time\nfor i in range(30): print('line', i); time.sleep(1)"
LINES = "".join(f"line {i}\n" for i in range(30))

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="session")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("jupyterlab") / "venv")


@pytest.fixture(scope="module")
def lab(venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    one = Jupyter(tmp_path_factory.mktemp("home"), venv)
    yield one
    one.close()


@pytest.fixture(scope="module")
def stock(venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """Without the recorder."""
    one = Jupyter(tmp_path_factory.mktemp("stock"), venv, stock=True)
    yield one
    one.close()


class Page:
    """A notebook's page."""

    def __init__(self, browser: Any, lab: Jupyter, name: str, port: int | None = None) -> None:
        self._context = browser.new_context()
        self.page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.goto(lab.url(name, port))
        self.wait()

    def wait(self) -> None:
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.page.get_by_text("| Idle").or_(self.page.get_by_text("| Busy")).first.wait_for()

    def run(self, cell: int = 0) -> None:
        self.page.locator(".jp-Cell .cm-content").nth(cell).click()
        self.page.keyboard.press("Control+Enter")

    def run_all(self) -> None:
        self.menu("Run", "Run All Cells")

    def menu(self, menu: str, item: str) -> None:
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=item).first.click()

    def save(self) -> None:
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("Control+s")

    def outputs(self) -> str:
        return "".join(self.page.locator(OUTPUT).all_inner_texts())

    def shows(self, text: str) -> None:
        self.page.locator(OUTPUT).get_by_text(text, exact=False).first.wait_for()

    def close(self) -> None:
        self._context.close()


def until(condition: Any, what: str = "") -> None:
    give_up = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < give_up, what
        time.sleep(0.2)


def text(cell: Any) -> str:
    return "".join(out.text for out in cell.outputs)


def idle(lab: Jupyter, name: str) -> bool:
    """Whether the kernel of the notebook has finished."""
    found = [one["kernel"] for one in lab.ask("sessions") if one["path"] == f"{name}.ipynb"]
    return bool(found) and found[0]["execution_state"] == "idle"


def test_a_page_closed_after_5_s_and_opened_after_20_s_has_all_lines(browser: Any, lab: Jupyter) -> None:
    lab.notebook("reopened", COUNT)
    lab.notebook("never", COUNT)
    for name in ("reopened", "never"):
        page = Page(browser, lab, name)
        page.run()
        page.shows("line 4")
        page.close()
    until(lambda: "line 18" in text(lab.saved("reopened")[0]))
    page = Page(browser, lab, "reopened")
    seen = page.outputs()
    assert LINES.startswith(seen.strip()) and "line 18" in seen
    until(lambda: idle(lab, "reopened") and text(lab.saved("reopened")[0]) == LINES)
    page.page.reload()
    page.wait()
    page.shows("line 29")
    assert page.outputs().split() == LINES.split()
    page.close()
    until(lambda: idle(lab, "never"))
    until(lambda: text(lab.saved("never")[0]) == LINES)
    assert lab.saved("never")[0].execution_count == 1


KINDS = (
    "import time; time.sleep(6)",  # the page is closed meanwhile
    "import sys\nfor i in range(0, 101, 10): print(f'\\r{i:3}%', end='', flush=True); time.sleep(0.05)\n"
    "print(' done')",
    "print('out'); print('err', file=sys.stderr); print('out again')",
    "from IPython.display import display, clear_output, HTML\nbar = display('0 of 2', display_id=True)",
    "bar.update('2 of 2'); 6 * 7",
    "for i in range(3): clear_output(wait=True); print('pass', i)",
    "%matplotlib inline\nimport matplotlib.pyplot as plt\n_ = plt.plot([1, 2])",
    "HTML('<b>bold</b>')",
    "1 / 0",
)


def plain(cells: list[Any]) -> list[Any]:
    """What the file has of the cells; streams of one name in a row are one, as Jupyter may split them."""
    found = []
    for cell in cells:
        outputs: list[Any] = []
        for out in json.loads(json.dumps(cell.outputs)):
            if outputs and out["output_type"] == "stream" and outputs[-1].get("name") == out["name"]:
                outputs[-1]["text"] += out["text"]
            else:
                outputs.append(out)
        found.append((cell.source, cell.execution_count, outputs))
    return found


def test_every_kind_of_output_is_saved_as_jupyterlab_itself_saves_it(browser: Any, lab: Jupyter) -> None:
    for name in ("open", "closed"):
        lab.notebook(name, *KINDS)
    page, closed = Page(browser, lab, "open"), Page(browser, lab, "closed")
    page.run_all()
    closed.run_all()
    until(lambda: not idle(lab, "closed"))
    closed.close()
    until(lambda: lab.saved("closed")[-1].outputs)
    until(lambda: idle(lab, "open"))
    page.save()
    until(lambda: lab.saved("open")[-1].outputs)
    assert plain(lab.saved("closed")) == plain(lab.saved("open"))
    page.close()


def test_of_two_identical_cells_the_one_that_ran_has_the_output(browser: Any, lab: Jupyter) -> None:
    lab.notebook("twins", "import time", "time.sleep(3); print(7)", "time.sleep(3); print(7)")
    page = Page(browser, lab, "twins")
    page.run(0)
    page.run(2)
    page.close()
    until(lambda: any(cell.outputs for cell in lab.saved("twins")))
    assert [text(cell) for cell in lab.saved("twins")] == ["", "", "7\n"]


def test_a_notebook_of_the_older_format_has_the_outputs_of_identical_cells_in_order(
    browser: Any, lab: Jupyter
) -> None:
    twin = "n += 1; time.sleep(3); print(n)"
    lab.notebook("older", "import time; n = 0", twin, twin, minor=4)
    page = Page(browser, lab, "older")
    page.run_all()
    until(lambda: not idle(lab, "older"))
    page.close()
    until(lambda: lab.saved("older")[2].outputs)
    assert [text(cell) for cell in lab.saved("older")] == ["", "1\n", "2\n"]


def test_a_page_left_open_elsewhere_keeps_its_unsaved_edit_and_stops_no_recording(
    browser: Any, lab: Jupyter
) -> None:
    path = lab.notebook("shared", COUNT.replace("30", "8"), "")
    elsewhere, page = Page(browser, lab, "shared"), Page(browser, lab, "shared")
    elsewhere.page.locator(".jp-Cell .cm-content").nth(1).click()
    elsewhere.page.keyboard.type("mine = 1")
    page.run()
    page.shows("line 1")
    page.close()
    until(lambda: "line 7" in text(lab.saved("shared")[0]))
    assert elsewhere.page.locator(".jp-Cell .cm-content").nth(1).inner_text() == "mine = 1"
    elsewhere.save()
    elsewhere.page.get_by_text("has changed on disk").wait_for()  # JupyterLab's own question
    assert "line 7" in text(lab.saved("shared")[0]) and "mine" not in path.read_text()
    elsewhere.close()


def test_while_its_page_is_open_the_page_alone_saves(browser: Any, lab: Jupyter) -> None:
    path = lab.notebook("live", COUNT.replace("30", "5"))
    page = Page(browser, lab, "live")
    before = path.read_bytes()
    page.run()
    page.shows("line 4")
    until(lambda: idle(lab, "live"))
    time.sleep(3)  # three times as long as the recorder waits
    assert path.read_bytes() == before
    page.save()
    until(lambda: "line 4" in text(lab.saved("live")[0]))
    assert not page.page.get_by_text("has changed on disk").count()
    page.menu("Edit", "Clear Outputs of All Cells")
    page.save()
    until(lambda: not lab.saved("live")[0].outputs)
    page.close()
    time.sleep(3)
    assert not lab.saved("live")[0].outputs, "cleared by a person"


def test_a_page_whose_connection_broke_goes_on_and_saves_without_a_question(
    browser: Any, lab: Jupyter
) -> None:
    lab.notebook("asleep", COUNT.replace("30", "12"))
    with relay(lab.port) as network:
        page = Page(browser, lab, "asleep", network.port)
        page.run()
        page.shows("line 1")
        network.cut()
        until(lambda: idle(lab, "asleep"))
        page.shows("line 11")
        page.save()
        until(lambda: text(lab.saved("asleep")[0]).count("line") == 12)
        time.sleep(2)
        assert not page.page.get_by_text("has changed on disk").count()
        page.close()


@pytest.mark.parametrize("which", ["lab", "stock"])
def test_widgets_input_interrupt_and_restart_are_those_of_jupyterlab(
    browser: Any, which: str, request: pytest.FixtureRequest
) -> None:
    lab: Jupyter = request.getfixturevalue(which)
    lab.notebook(
        "whole",
        "import ipywidgets as w; b = w.IntText(value=3, description='n'); display(b)",
        "name = input('who? '); print('hello', name)",
        "import time; print('waits'); time.sleep(300)",
        "print('b' in dir())",
        "o = w.Output(); display(o)\nwith o: print('captured')",
    )
    page = Page(browser, lab, "whole")
    page.run(0)
    number = page.page.locator(".jp-Cell .widget-text input")
    number.wait_for()
    number.fill("5")
    page.run(4)
    page.shows("captured")
    page.run(1)
    page.page.locator(".jp-Stdin-input").fill("ada")
    page.page.keyboard.press("Enter")
    page.shows("hello ada")
    page.run(2)
    page.shows("waits")
    page.menu("Kernel", "Interrupt Kernel")
    page.shows("KeyboardInterrupt")
    page.run(3)
    page.shows("True")
    page.menu("Kernel", "Restart Kernel…")
    page.page.locator(".jp-Dialog .jp-mod-warn").click()
    page.run(3)
    page.shows("False")
    page.save()
    until(lambda: lab.saved("whole")[3].outputs)
    assert not page.page.get_by_text("has changed on disk").count()
    page.close()


def test_a_widget_lives_on_after_its_page_was_closed(browser: Any, lab: Jupyter) -> None:
    lab.notebook(
        "bar",
        "import ipywidgets as w, time\nbar = w.IntText(value=0); display(bar)\n"
        "for i in range(8): bar.value = i; time.sleep(1)",
    )
    page = Page(browser, lab, "bar")
    page.run()
    page.page.locator(".jp-Cell .widget-text input").wait_for()
    page.close()
    until(lambda: idle(lab, "bar") and lab.saved("bar")[0].outputs)
    page = Page(browser, lab, "bar")
    number = page.page.locator(".jp-Cell .widget-text input")
    number.wait_for()
    assert number.input_value() == "7"
    page.close()


def test_its_saves_are_no_use_for_idle_detection(lab: Jupyter) -> None:
    """The tests above opened this notebook and never saved it."""
    path = lab.work / "never.ipynb"
    note = (lab.log.parent / "recorded.json").read_text()
    written = path.stat().st_mtime_ns
    assert by_a_person(str(path), written, note) < written - 20e9  # as it was before the 30 lines
