"""Executes a notebook as a job, in ~/work: `python execute.py [--check] NOTEBOOK [-p NAME=VALUE]...`

Runs in JupyterLab's environment; the kernel is the one that the notebook names (setup/kernels.py). The
executed notebook is ~/work/results/JOB.ipynb, saved after each cell and every few seconds of output.
`--check` executes nothing; its exit status is 3 if the notebook cannot run.
"""

import asyncio
import atexit
import codecs
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from notebook_file import write
from stream import Text

_REFUSED = 3  # exit status of --check; the reason is on standard error
_SAVED_EVERY_S = 5.0  # at most, while a cell prints
# A volume from a snapshot loads each block from S3 at its first read (EBS User Guide, "Initialize Amazon EBS
# volumes").
_STARTS_WITHIN_S = 300
_LONGEST_REASON = 200  # characters of an exception in the last line
_KERNELS = Path.home() / ".gpu-box" / "jupyter" / "share"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Problem(Exception):
    """The notebook cannot run; one line for the user."""


def main(words: list[str]) -> int:
    os.environ["JUPYTER_PATH"] = os.pathsep.join(
        filter(None, [str(_KERNELS), os.environ.get("JUPYTER_PATH")])
    )
    check = words[:1] == ["--check"]
    name, *rest = words[check:]
    parameters = dict(word.split("=", 1) for word in rest if word != "-p")
    try:
        notebook = _read(Path(name))
        kernel = _kernel(name, notebook, parameters)
        if check:
            return 0
        _inject(notebook, parameters)
        return asyncio.run(Execution(name, notebook, kernel).run())
    except Problem as problem:
        print(problem, file=sys.stderr)
        return _REFUSED if check else 1


def _read(path: Path) -> NotebookNode:
    if not path.is_file():
        beside = sorted(str(each) for each in Path().glob(f"*/{path.name}"))
        also = f"; there is {beside[0]}" if beside else "; `gpu-box sync` copies your project there"
        raise Problem(f"there is no notebook ~/work/{path} on the box{also}")
    try:
        text = _decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"~/work/{path} is no notebook: {error}") from None
    if why := _no_json(text):
        raise Problem(f"~/work/{path} is no notebook: {why}")
    try:
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat and json raise many types, RecursionError among them
        raise Problem(
            f"~/work/{path} is no notebook: {(str(error).splitlines() or ['unreadable'])[0]}"
        ) from None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _decoded(content: bytes) -> str:
    """UTF-8, or UTF-16 with a byte order mark, as PowerShell's `>` writes it."""
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return content.decode("utf-16" if content.startswith(marks) else "utf-8-sig")


def _no_json(text: str) -> str:
    """Why a file that is something else than a notebook is none, or ""."""
    if not text.strip():
        return "it is empty"
    if text.startswith("version https://git-lfs.github.com/"):
        return "it is a pointer of Git LFS; `git lfs pull` here, then `gpu-box sync`"
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("<<<<<<< ", ">>>>>>> ")):
            return f"line {number} is a conflict of git, which is not resolved"
    return ""


def _kernel(name: str, notebook: NotebookNode, parameters: dict[str, str]) -> str:
    specs = KernelSpecManager()
    kernel = str(notebook.metadata.get("kernelspec", {}).get("name") or "python3")
    found = specs.find_kernel_specs()
    if kernel.lower() not in found and "python3" in found and _language(notebook) == "python":
        # As JupyterLab chooses one: the name is that of an environment on the laptop.
        print(f"[gpu-box] the box has no kernel {kernel!r}, its own (python3) is used", flush=True)
        kernel = "python3"
    try:
        language = specs.get_kernel_spec(kernel).language
    except (NoSuchKernel, ValueError):
        known = ", ".join(sorted(specs.find_kernel_specs())) or "none"
        raise Problem(
            f"{name} asks for the kernel {kernel!r}, which the box does not have (it has: {known}); "
            "choose one of them in JupyterLab and save the notebook"
        ) from None
    if parameters and language != "python":
        raise Problem(f"{name} is in {language}: -p sets parameters of notebooks in Python only")
    return kernel


def _language(notebook: NotebookNode) -> str:
    metadata = notebook.metadata
    named = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name")
    return str(named or "").lower()


def _inject(notebook: NotebookNode, parameters: dict[str, str]) -> None:
    """Add the cell that papermill adds: after the one tagged `parameters`, or first."""
    if not parameters:
        return
    lines = [f"{name} = {_literal(value)}\n" for name, value in parameters.items()]
    cell = nbformat.v4.new_code_cell(
        "".join(["# Parameters\n", *lines]), metadata={"tags": ["injected-parameters"]}
    )
    if notebook.nbformat_minor < 5:
        del cell["id"]  # cells have ids from format 4.5 on
    defaults, injected = _tagged(notebook, "parameters"), _tagged(notebook, "injected-parameters")
    if injected is not None:
        notebook.cells[injected] = cell
    else:
        notebook.cells.insert(0 if defaults is None else defaults + 1, cell)
    if defaults is not None:
        for name in parameters:
            if not re.search(rf"^\s*{name}\s*[:=]", notebook.cells[defaults].source, re.MULTILINE):
                print(f"[gpu-box] its cell `parameters` does not set {name}", flush=True)


def _tagged(notebook: NotebookNode, tag: str) -> int | None:
    return next((at for at, cell in enumerate(notebook.cells) if tag in cell.metadata.get("tags", [])), None)


def _literal(value: str) -> str:
    """The value in Python, with papermill's types: True, False, None, whole numbers, numbers, text."""
    if value in ("True", "False", "None"):
        return value
    for kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            continue
        return repr(number) if abs(number) < float("inf") else f"float({value!r})"
    return repr(value)


class Execution(NotebookClient):
    def __init__(self, name: str, notebook: NotebookNode, kernel: str) -> None:
        path = Path(name)
        super().__init__(notebook, kernel_name=kernel, resources={"metadata": {"path": str(path.parent)}})
        self.on_notebook_start = self._take_signals
        if "ipykernel_launcher" in KernelSpecManager().get_kernel_spec(kernel).argv:
            self.extra_arguments = ["--log-level=ERROR"]  # a warning about TCP that concerns networks
        self.startup_timeout = _STARTS_WITHIN_S
        self._name = name
        job = os.environ.get("GPU_BOX_JOB") or path.stem
        self._target = Path("results") / f"{job}.ipynb"
        if self._target.resolve() == path.resolve():  # the user's own stays as it is
            self._target = Path("results") / f"{job}-executed.ipynb"
        self._cell = 0  # the number of the cell that runs, from 1
        self._saved = float("-inf")
        self._at_line = True  # whether the log is at the start of a line
        self._signal = 0  # the last signal that the job got

    async def run(self) -> int:
        self._save()
        try:
            await self.async_execute()
        except CellExecutionError as error:
            if error.ename == "StdinNotImplementedError":
                self._end("asks for input, which a job cannot get: set the value with -p, or in the notebook")
            else:
                self._say(_COLOUR.sub("", error.traceback))
                self._end(f"raised {error.ename}: {error.evalue}")
        except DeadKernelError:
            self._end("was ended by a signal" if self._signal else "ended the kernel (out of memory?)")
        except (Exception, asyncio.CancelledError):
            if self._cell:
                raise
            # nbclient raises several types, from its own clean-up as well, which it also leaves for the exit.
            atexit.unregister(self._cleanup_kernel)
            raise Problem(f"the kernel {self.kernel_name} does not start; its own words are above") from None
        else:
            self._say(f"[gpu-box] {self._name} is done: ~/work/{self._target}")
            return 0
        finally:
            self._save()
        return 128 + self._signal if self._signal else 1

    def _end(self, reason: str) -> None:
        reason = (reason.splitlines() or [""])[0][:_LONGEST_REASON]
        self._say(f"[gpu-box] {self._name}: cell {self._cell} {reason}; what ran is in ~/work/{self._target}")

    def _say(self, line: str) -> None:
        print(line if self._at_line else f"\n{line}", flush=True)
        self._at_line = True

    async def async_execute_cell(
        self, cell: NotebookNode, cell_index: int, *rest: Any, **more: Any
    ) -> NotebookNode:
        self._cell = cell_index + 1
        if cell.cell_type == "code" and cell.source.strip():
            self._say(f"[gpu-box] cell {self._cell} of {len(self.nb.cells)}")
        try:
            return await super().async_execute_cell(cell, cell_index, *rest, **more)
        finally:
            self._save()

    def output(self, outs: list[NotebookNode], msg: Any, display_id: Any, cell_index: int) -> Any:
        out = super().output(outs, msg, display_id, cell_index)
        if msg["msg_type"] == "stream":
            text = msg["content"]["text"]
            print(text, end="", flush=True)
            self._at_line = text.endswith("\n") if text else self._at_line
            if out is not None and len(outs) > 1 and outs[-2].get("name") == out.name:
                outs.pop()
                outs[-1].text = str(Text(outs[-1].text + out.text))
        if time.monotonic() - self._saved >= _SAVED_EVERY_S:
            self._save()
        return out

    def _save(self) -> None:
        write(self._target, (nbformat.writes(self.nb) + "\n").encode())
        self._saved = time.monotonic()

    def _take_signals(self, **_: Any) -> None:
        """Pass signals on to the kernel, which has a session of its own, so that the notebook can save.

        nbclient's own handlers end the kernel at once.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._pass_on, number)

    def _pass_on(self, number: int) -> None:
        self._signal = number
        assert self.km is not None
        self._passing = asyncio.ensure_future(self.km.signal_kernel(number))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
