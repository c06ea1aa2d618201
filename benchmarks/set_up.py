"""Set-up of a new machine until Jupyter answers, compared with the same steps in a shell script.

Both run on a new systemd-nspawn machine each time, with all wheels in a local folder; a third machine starts
from an image of ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from testbed.box import Box, start_box
from testbed.cloud import Cloud, make_key
from testbed.leash import leashed

from gpu_box.config.model import Config
from gpu_box.errors import GpuBoxError
from gpu_box.machine import setup
from gpu_box.machine.files import secret
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.machine import Host
from gpu_box.resources import remote
from gpu_box.view.progress import Silent
from local_aws.machines.nspawn.root_image import require_nspawn, root_image

from .measure import Times, clocked, in_turns, rounds
from .row import Row, Skipped, Wait

MACHINES_PYTHON = "3.11.2"  # bookworm's
TORCH = "torch==2.13.0"
PINNED = ("requirements.txt", "jupyterlab.txt")
BY_HAND = f"""
set -eu
sudo apt-get update -q
sudo apt-get install -q -y tmux python3-venv curl
python3 -m venv ~/venv
~/venv/bin/pip install -q -r requirements.txt -r jupyterlab.txt
~/venv/bin/pip install -q {TORCH}
tmux new-session -d -s jupyter '~/venv/bin/jupyter lab --no-browser --port 8888'
until curl -s --noproxy '*' -o /dev/null http://127.0.0.1:8888/api; do sleep 0.1; done
"""


def rows() -> Iterator[Row]:
    try:
        require_nspawn()
        root_image()
    except GpuBoxError as error:
        raise Skipped(str(error)) from None
    wheels = _wheels()
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="gpu-box-set-up-"))
        stack.enter_context(patch.dict(os.environ, _surroundings(home, wheels)))
        stack.enter_context(leashed(home))
        cloud = Cloud(home)
        whole: list[float] = []
        baked: list[float] = []
        times = in_turns(
            {"ours": lambda: _ours(cloud, whole, baked), "by hand": lambda: _by_hand(cloud)}, rounds(3)
        )
    by_hand = times["by hand"]
    beside = f"the same steps in sequence with pip {by_hand}"
    ratio = times["ours"].against(by_hand)
    yield Row(
        wait=Wait.SET_UP, what="SSH-ready to Jupyter answering, packages at hand", ours=str(times["ours"]),
        beside=beside, ratio=ratio, aim="0.25", met=ratio <= 0.25, runs=times["ours"].runs,
    )  # fmt: skip
    all_of_it = Times(tuple(whole))
    yield Row(
        wait=Wait.SET_UP, what="all of it, PyTorch too, which comes while Jupyter starts",
        ours=str(all_of_it), beside=beside, ratio=all_of_it.against(by_hand), runs=all_of_it.runs,
    )  # fmt: skip
    from_image = Times(tuple(baked))
    ratio = from_image.against(times["ours"])
    yield Row(
        wait=Wait.SET_UP, what="of a box from its own image, SSH-ready to Jupyter answering",
        ours=str(from_image), beside=f"from scratch {times['ours']}", ratio=ratio,
        aim="0.3", met=ratio <= 0.3, runs=from_image.runs,
    )  # fmt: skip


def _ours(cloud: Cloud, whole: list[float], baked: list[float]) -> float:
    """Seconds until Jupyter answers; appends those of the whole set-up to `whole`, and those until Jupyter
    answers on another box, started from an image of this one, to `baked`.
    """
    with _new_box(cloud) as box:
        until_jupyter, until_end = _set_up(box)
        whole.append(until_end)
        with connect(_host(box)) as connection:
            secret.remove_all(connection)  # as `bake` does
        baked.append(_set_up(box.baked())[0])
        return until_jupyter


def _set_up(box: Box) -> tuple[float, float]:
    """Seconds until Jupyter answers, and until the end."""
    host, report = _host(box), _Answering()
    began = time.perf_counter()
    with connect(host) as connection:
        wanted = setup.desired(Config(), market="on-demand")
        found = done = setup.check(connection, wanted)
        if found.jupyter.answering:
            report.done("jupyter")
        if found.needs_work:
            done = setup.apply(connection, found, wanted, report)
    if not done.jupyter.answering or done.needs_work:
        raise RuntimeError(f"it is not set up: {done}")
    return report.at - began, time.perf_counter() - began


class _Answering(Silent):
    """Records when Jupyter first answered."""

    at = 0.0

    def done(self, step: str, line: str = "") -> None:
        if step == "jupyter":
            self.at = time.perf_counter()


def _by_hand(cloud: Cloud) -> float:
    with _new_box(cloud) as box:
        ssh = box.ssh()

        def set_up() -> None:
            for name in PINNED:
                wanted = (remote() / "setup" / name).read_bytes()
                subprocess.run(ssh.command(f"cat >{name}"), input=wanted, check=True)
            subprocess.run(ssh.command("bash -s"), input=BY_HAND.encode(), check=True, stdout=sys.stderr)

        return clocked(set_up)


@contextmanager
def _new_box(cloud: Cloud) -> Iterator[Box]:
    cloud.empty()
    with tempfile.TemporaryDirectory() as folder:
        box = start_box(cloud, make_key(Path(folder)))
        box.ssh()
        yield box
        cloud.empty()


def _host(box: Box) -> Host:
    ssh = box.ssh()
    return Host(
        name="box",
        address=ssh.address,
        port=ssh.port,
        user=ssh.user,
        key=ssh.key.path,
        host_keys=(box.host_key,),
    )


def _wheels() -> Path:
    """All wheels, downloaded once; outside root's home, which a box's user cannot read."""
    folder = Path("/var/cache/gpu-box/wheels")
    uv = (remote() / "setup" / "uv.txt").read_text().split()[0]
    files = [word for name in PINNED for word in ("-r", remote() / "setup" / name)]
    wanted = [*files, f"{TORCH}+cpu", uv]
    choice = ["--only-binary", ":all:", "--python-version", MACHINES_PYTHON]
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder, *choice, *wanted]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise Skipped(f"the packages cannot be downloaded: {done.stderr.strip().splitlines()[-1]}")
    return folder


def _surroundings(home: Path, wheels: Path) -> dict[str, str]:
    """Let machines see only that folder as pip's settings."""
    return {
        "GPU_BOX_HOME": str(home),
        "GPU_BOX_MACHINES": "nspawn",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_INDEX": "1",
    }
