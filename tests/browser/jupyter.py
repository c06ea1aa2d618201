"""The box's JupyterLab, as its own start script runs it, in a home folder of the test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.paths import REMOTE

TOKEN = "a-token-of-the-test"
_JUPYTERLAB = (REMOTE / "setup" / "jupyterlab.txt").read_text().strip()


def installed(folder: Path) -> Path:
    """JupyterLab's environment, as set-up makes it, with ipywidgets and matplotlib for the test's kernel."""
    if ready := os.environ.get("GPU_BOX_TEST_JUPYTERLAB"):  # an environment made before
        return Path(ready)
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.skip("no uv to install JupyterLab with")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True, timeout=120)
    install = [uv, "pip", "install", "-q", "--python", folder / "bin" / "python"]
    subprocess.run([*install, _JUPYTERLAB, "ipywidgets", "matplotlib"], check=True, timeout=600)
    return folder


class Jupyter:
    def __init__(self, home: Path, venv: Path, *, stock: bool = False) -> None:
        self.home, self.work = home, home / "work"
        self.log = home / ".gpu-box" / "jupyter" / "log"
        for folder in (self.work, self.log.parent):
            folder.mkdir(parents=True)
        (home / ".gpu-box" / "jupyter-venv").symlink_to(venv)
        remote = home / ".gpu-box" / "remote"
        if stock:
            shutil.copytree(REMOTE, remote)
            config = remote / "jupyter" / "jupyter_server_config.py"
            config.write_text(config.read_text().partition("# Saves what a kernel prints")[0])
        else:
            remote.symlink_to(REMOTE)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (self.log.parent / "port").write_text(str(self.port))
        (self.log.parent / "token").write_text(TOKEN)
        environment = {**os.environ, "HOME": str(home), "JUPYTER_PLATFORM_DIRS": "0"}
        self._process = subprocess.Popen(
            ["sh", REMOTE / "jupyter" / "start.sh"], env=environment, start_new_session=True
        )
        give_up = time.monotonic() + 120
        while True:
            try:
                self.ask("status")
                break
            except OSError:
                assert time.monotonic() < give_up and self._process.poll() is None, self.log.read_text()
                time.sleep(0.2)

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    def ask(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}",
            headers={"Authorization": f"token {TOKEN}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def url(self, name: str, port: int | None = None) -> str:
        # A workspace of its own, so that no page opens another's tabs.
        here = f"http://127.0.0.1:{port or self.port}"
        return f"{here}/lab/workspaces/{name}/tree/{name}.ipynb?token={TOKEN}"

    def notebook(self, name: str, *codes: str, minor: int = 5) -> Path:
        cells = [new_code_cell(code) for code in codes]
        if minor < 5:  # without ids
            for cell in cells:
                del cell["id"]
        made = new_notebook(cells=cells, nbformat_minor=minor)
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = self.work / f"{name}.ipynb"
        nbformat.write(made, path)
        return path

    def saved(self, name: str) -> list[Any]:
        """The cells of the file, which Jupyter's own library accepts."""
        found = nbformat.read(self.work / f"{name}.ipynb", as_version=4)
        nbformat.validate(found)
        cells: list[Any] = found.cells
        return cells
