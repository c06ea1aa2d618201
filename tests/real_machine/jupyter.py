"""A real JupyterLab in a box, and a notebook's tab that runs a cell in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .guaranteed import Box

_FOLDER = "opt/jupyterlab"
_API = "http://127.0.0.1:8888/api"
_TOKEN = "Authorization: token secret"
_RUN = f"env PYTHONPATH=/{_FOLDER} JUPYTER_PATH=/{_FOLDER}/share/jupyter python3"


def install(root: Path) -> str:
    """Put into the box's disk from outside: uv's cache keeps it for all boxes. Why it could not be, or ""."""
    python = os.readlink(root / "usr/bin/python3").removeprefix("python")  # "3.11" in bookworm
    done = subprocess.run(
        [
            sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(root / _FOLDER),
            "--python-version", python, "--only-binary", ":all:", "jupyterlab",
        ],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    return f"no JupyterLab from the package index: {done.stderr.strip()[-200:]}" if done.returncode else ""


START = f"""
mkdir -p work .gpu-box/jupyter && echo 8888 >.gpu-box/jupyter/port && echo secret >.gpu-box/jupyter/token
JUPYTER_TOKEN=secret setsid {_RUN} -m jupyterlab --no-browser --port=8888 --ServerApp.root_dir=$HOME/work \
    >log 2>&1 </dev/null &
for _ in $(seq 300); do
    curl -fsS -H '{_TOKEN}' {_API}/status >/dev/null 2>&1 && exit
    sleep 0.3
done
tail log >&2
exit 1
"""
NEW_KERNEL = f"""
curl -fsS -H '{_TOKEN}' {_API}/sessions -d \
    '{{"path": "lesson1.ipynb", "type": "notebook", "name": "", "kernel": {{"name": "python3"}}}}' |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["kernel"]["id"])'
"""


def execute(box: Box, kernel: str, code: str) -> None:
    """Run a cell as a notebook's tab does, over the kernel's web socket, and close the tab."""
    box.ssh(f"{_RUN} - {kernel}", input=f"CODE = {json.dumps(code)}\n{_EXECUTE}")


def interrupt(kernel: str) -> str:
    return f"curl -fsS -X POST -H '{_TOKEN}' {_API}/kernels/{kernel}/interrupt"


_EXECUTE = """
import asyncio, json, sys, uuid
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

async def go(kernel):
    url = f"ws://127.0.0.1:8888/api/kernels/{kernel}/channels?token=secret"
    link = await websocket_connect(HTTPRequest(url, request_timeout=60))
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "date": ""}
    header.update(session=uuid.uuid4().hex, version="5.3")
    content = {"code": CODE, "silent": False, "allow_stdin": True, "user_expressions": {}}
    message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
    await link.write_message(json.dumps(message))
    for _ in range(240):
        said = json.loads(await link.read_message())
        if said["msg_type"] == "status" and said["content"]["execution_state"] == "busy":
            break
    link.close()

asyncio.run(go(sys.argv[1]))
"""
