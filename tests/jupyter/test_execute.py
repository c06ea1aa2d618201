"""`gpu-box run lesson1.ipynb` on the box: the job that executes a notebook."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.paths import REMOTE

EXECUTE = [sys.executable, str(REMOTE / "jupyter" / "execute.py")]


def notebook(home: Path, *cells: Any, name: str = "lesson1.ipynb", **metadata: Any) -> None:
    codes = [cell if not isinstance(cell, str) else new_code_cell(cell) for cell in cells]
    nbformat.write(new_notebook(cells=codes, metadata=metadata), home / "work" / name)


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(home), "GPU_BOX_JOB": "night", "JUPYTER_PLATFORM_DIRS": "0"}


def execute(home: Path, *words: str, expect: int = 0) -> str:
    """The job's log."""
    done = subprocess.run(
        [*EXECUTE, *words],
        cwd=home / "work",
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == expect, done.stdout
    return done.stdout


@contextmanager
def running(home: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    job = subprocess.Popen(
        [*EXECUTE, *words], cwd=home / "work", env=environment(home), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        yield job
    finally:
        job.kill()
        job.communicate()


def executed(home: Path) -> list[Any]:
    """The cells of the result, which Jupyter's own library accepts."""
    found = nbformat.read(home / "work/results/night.ipynb", as_version=4)
    nbformat.validate(found)
    cells: list[Any] = found.cells
    return cells


def outputs(cell: Any) -> str:
    return "".join(out.get("text", out.output_type) for out in cell.outputs)


def test_the_notebook_stays_as_it_was_and_the_result_has_the_outputs(home: Path) -> None:
    notebook(home, "print('loss 0.5')", "1 + 1")
    before = (home / "work/lesson1.ipynb").read_bytes()
    log = execute(home, "lesson1.ipynb")
    first, second = executed(home)
    assert outputs(first) == "loss 0.5\n"
    assert second.outputs[0].data["text/plain"] == "2"
    assert [first.execution_count, second.execution_count] == [1, 2]
    assert "loss 0.5\n" in log and "~/work/results/night.ipynb" in log
    assert (home / "work/lesson1.ipynb").read_bytes() == before


def test_a_notebook_in_results_is_not_replaced_by_its_own_result(home: Path) -> None:
    (home / "work/results").mkdir(exist_ok=True)
    (home / "work/other").symlink_to(home / "work/results")
    notebook(home, "x = 1", "print(x)", name="results/night.ipynb")
    before = (home / "work/results/night.ipynb").read_bytes()
    for path in ("results/night.ipynb", "other/../results/night.ipynb"):
        log = execute(home, path, "-p", "x=2")
        assert "~/work/results/night-executed.ipynb" in log
        assert (home / "work/results/night.ipynb").read_bytes() == before
    assert nbformat.read(home / "work/results/night-executed.ipynb", as_version=4).cells[-1].outputs


def test_it_runs_in_the_folder_of_the_notebook_as_in_jupyterlab(home: Path) -> None:
    (home / "work/notebooks").mkdir()
    notebook(home, "import os; print(os.getcwd())", name="notebooks/lesson1.ipynb")
    execute(home, "notebooks/lesson1.ipynb")
    assert outputs(executed(home)[0]) == f"{home}/work/notebooks\n"


def test_parameters_come_after_the_cell_of_defaults_with_papermill_s_types(home: Path) -> None:
    defaults = new_code_cell("lr = 1\nname = 'x'", metadata={"tags": ["parameters"]})
    notebook(home, "import os", defaults, "print([lr, name, deep, no, odd])")
    given = ["lr=0.5", "name=it's", "deep=True", "no=None", "odd=a=b"]
    log = execute(home, "lesson1.ipynb", *(word for each in given for word in ("-p", each)))
    _, _, injected, last = executed(home)
    assert outputs(last) == """[0.5, "it's", True, None, 'a=b']\n"""
    assert injected.metadata.tags == ["injected-parameters"]
    assert injected.source.startswith("# Parameters\nlr = 0.5\n")
    assert "does not set deep" in log and "does not set lr" not in log


def test_parameters_of_an_executed_notebook_are_replaced(home: Path) -> None:
    old = new_code_cell("# Parameters\nlr = 1\n", metadata={"tags": ["injected-parameters"]})
    notebook(home, old, "print(lr)")
    execute(home, "lesson1.ipynb", "-p", "lr=7")
    assert [cell.source for cell in executed(home)] == ["# Parameters\nlr = 7\n", "print(lr)"]


def test_a_notebook_that_raises_keeps_what_ran_and_nothing_of_before(home: Path) -> None:
    stale = new_code_cell("print('never')", outputs=[], execution_count=9)
    notebook(home, "print('first')", "1 / 0", stale)
    log = execute(home, "lesson1.ipynb", expect=1)
    first, second, third = executed(home)
    assert outputs(first) == "first\n"
    assert second.outputs[0].ename == "ZeroDivisionError"
    assert third.execution_count is None
    last = log.splitlines()[-1]
    assert "cell 2 raised ZeroDivisionError: division by zero" in last and "results/night.ipynb" in last
    assert "\x1b" not in log


def test_input_ends_with_one_line(home: Path) -> None:
    notebook(home, "print('first')", "input('name? ')")
    log = execute(home, "lesson1.ipynb", expect=1)
    assert "cell 2 asks for input" in log.splitlines()[-1]
    assert "Traceback" not in log
    assert outputs(executed(home)[0]) == "first\n"


def test_a_kernel_that_dies_ends_with_one_line_and_keeps_what_it_printed(home: Path) -> None:
    notebook(home, "print('first', flush=True)", "import os; os._exit(1)")
    log = execute(home, "lesson1.ipynb", expect=1)
    assert "cell 2 ended the kernel" in log.splitlines()[-1] and "Traceback" not in log
    assert outputs(executed(home)[0]) == "first\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["absent.ipynb"], "there is no notebook ~/work/absent.ipynb"),
        (["other.ipynb"], "there is deep/other.ipynb"),
        (["broken.ipynb"], "~/work/broken.ipynb is no notebook"),
        (["list.ipynb"], "~/work/list.ipynb is no notebook"),
        (["nested.ipynb"], "~/work/nested.ipynb is no notebook"),
        (["theirs.ipynb"], "asks for the kernel 'conda-env', which the box does not have"),
    ],
)
def test_what_cannot_run_is_one_line_before_the_job_and_in_it(
    home: Path, words: list[str], said: str
) -> None:
    (home / "work/deep").mkdir()
    notebook(home, "1", name="deep/other.ipynb")
    (home / "work/broken.ipynb").write_text('{"cells": [')
    (home / "work/list.ipynb").write_text("[]")
    (home / "work/nested.ipynb").write_text("[" * 200_000)
    notebook(home, "1", name="theirs.ipynb", kernelspec={"name": "conda-env", "display_name": "x"})
    for log in (execute(home, "--check", *words, expect=3), execute(home, *words, expect=1)):
        assert said in log and log.count("\n") == 1


def test_an_environment_without_a_kernel_is_one_last_line(home: Path) -> None:
    spec = home / ".gpu-box/jupyter/share/kernels/python3/kernel.json"
    spec.write_text(json.dumps({**json.loads(spec.read_text()), "argv": ["false", "{connection_file}"]}))
    notebook(home, "1")
    log = execute(home, "lesson1.ipynb", expect=1)
    assert "the kernel python3 does not start" in log.splitlines()[-1] and "Traceback" not in log


def test_a_long_cell_is_saved_while_it_prints(home: Path) -> None:
    notebook(home, "import time\nfor i in range(600): print(i); time.sleep(0.1)")
    with running(home, "lesson1.ipynb"):
        give_up = time.monotonic() + 200
        while not (home / "work/results/night.ipynb").exists() or "5\n" not in outputs(executed(home)[0]):
            assert time.monotonic() < give_up
            time.sleep(0.2)


@pytest.mark.parametrize("saves", [True, False])
def test_a_signal_reaches_the_notebook_so_that_it_can_save(home: Path, saves: bool) -> None:
    handler = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: print('saving') or sys.exit(0))"
    notebook(home, handler if saves else "1", "print('begun')\nimport time\ntime.sleep(100)")
    with running(home, "lesson1.ipynb") as job:
        assert job.stdout is not None
        for line in job.stdout:
            if line == "begun\n":
                break
        os.killpg(job.pid, signal.SIGTERM)
        said = job.communicate(timeout=30)[0]
        assert job.returncode == 128 + signal.SIGTERM
    assert ("saving" in said) == saves
    assert outputs(executed(home)[-1]).startswith("begun\n")


def test_a_progress_bar_is_one_line_in_the_result(home: Path) -> None:
    notebook(
        home,
        "import sys\nfor i in range(101): print(f'\\r{i:3}%', end=''); sys.stdout.flush()\nprint(' done')",
    )
    execute(home, "lesson1.ipynb")
    assert outputs(executed(home)[0]) == "100% done\n"
