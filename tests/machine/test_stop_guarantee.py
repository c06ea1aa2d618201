"""The stop guarantee on real machines: systemd, cloud-init, SSH, real loads, real faults; all in seconds.

Each story has a machine of its own; they run side by side. At the end a table says which layer caught what.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from gpu_box.aws.userdata import render_user_data
from gpu_box.config import Config
from gpu_box.embedded.root_image import root_image

from ..embedded.cloud import Cloud, KeyFile, make_key, wait_until
from .guaranteed import IDLE, STUCK, Box, running

pytestmark = pytest.mark.machine

SIDE_BY_SIDE = 5
LATE = 25.0  # s that a loaded machine may be late by, its shutdown included


class Outcome(NamedTuple):
    layer: str  # "" where it rightly stayed up
    seconds: float  # from the fault, or from the end of the work, until it was off
    reason: str
    note: str = ""


class Untold(Exception):  # noqa: N818 - no error: this place lacks what the story needs
    """Why it could not be told."""


STORIES: dict[str, Callable[[Box], Outcome]] = {}
FUSES: dict[str, str] = {}


def story(*, fuse: str = "1800s") -> Callable[[Callable[[Box], Outcome]], Callable[[Box], Outcome]]:
    def enter(play: Callable[[Box], Outcome]) -> Callable[[Box], Outcome]:
        STORIES[play.__name__] = play
        FUSES[play.__name__] = fuse
        return play

    return enter


def _off(box: Box, within: float, note: str = "") -> Outcome:
    begin = time.monotonic()
    assert box.off_within(within + LATE), f"still up: {box.ssh('gpu-box-watch status', check=False).stdout}"
    seconds = time.monotonic() - begin
    why = box.stopped()
    return Outcome(why["layer"], seconds, why["reason"], note)


def _stays_up_by(box: Box, signal: str) -> None:
    """Well past the idle time, and it is this signal that the verdict names."""
    assert not box.off_within(IDLE + 6), f"stopped while it worked: {box.stopped()}"
    status = box.status()
    assert signal in status["verdict"]["reason"] or signal in status["seen"], status


# Nobody there.


@story()
def an_idle_box(box: Box) -> Outcome:
    box.arm()
    return _off(box, IDLE)


@story()
def a_forgotten_interactive_shell(box: Box) -> Outcome:
    box.arm()
    box.session("-tt")
    return _off(box, IDLE)


@story()
def an_open_tunnel_to_nothing_that_works(box: Box) -> Outcome:
    box.arm()
    box.session("-N", "-L127.0.0.1:0:127.0.0.1:8888")
    return _off(box, IDLE)


# Somebody or something there, each made by a real thing; then it ends.


@story()
def a_cpu_loop_by_a_command_without_a_terminal(box: Box) -> Outcome:
    box.arm()
    loop = box.session("exec timeout 1000 python3 -c 'while True: pass'")
    _stays_up_by(box, "cpu")
    loop.kill()
    box.ssh("pkill -u ubuntu timeout", check=False)
    return _off(box, IDLE)


@story()
def training_in_a_detached_tmux(box: Box) -> Outcome:
    box.arm()
    box.ssh("tmux new-session -d -s train \"python3 -c 'while True: pass'\"")
    _stays_up_by(box, "cpu")
    box.ssh("tmux kill-server")
    return _off(box, IDLE)


@story()
def a_tty_being_typed_at(box: Box) -> Outcome:
    box.arm()
    shell = box.session("-tt")
    assert shell.stdin is not None
    end = time.monotonic() + IDLE + 12
    while time.monotonic() < end:
        shell.stdin.write(b"x")
        shell.stdin.flush()
        assert not box.off_within(1.0), "stopped while someone typed"
    return _off(box, IDLE)


@story()
def a_job_that_writes_to_the_disk(box: Box) -> Outcome:
    box.arm()
    loop = "while :; do head -c 4000000 /dev/urandom >data; sleep 0.5; done"
    box.ssh(f"({loop}) >/dev/null 2>&1 & echo $! >pid")
    _stays_up_by(box, "disk")
    box.ssh("kill $(cat pid)")
    return _off(box, IDLE)


@story()
def a_download(box: Box) -> Outcome:
    """From the Debian mirror through the machine's relay, at 2 MB/s and next to no processor."""
    box.arm()
    if box.ssh(_DOWNLOAD, check=False).returncode:
        raise Untold("no Debian mirror answers the machine")
    _stays_up_by(box, "disk")
    box.ssh("kill $(cat pid); pkill curl; test $(stat -c %s data) -gt 1000000")
    return _off(box, IDLE)


@story()
def a_jupyter_kernel_behind_an_open_tunnel(box: Box) -> Outcome:
    """It counts while it computes; the tunnel and the server that stay open afterwards do not."""
    box.wait_for_ssh()
    install = "python3 -m venv jv && jv/bin/pip install -q jupyter_server ipykernel"
    if box.ssh(install, seconds=240, check=False).returncode:
        raise Untold("pip in the machine finds no jupyter_server")
    box.ssh(_START_JUPYTER)
    kernel = box.ssh(_NEW_KERNEL).stdout.strip()
    box.arm()
    box.session("-N", "-L127.0.0.1:0:127.0.0.1:8888")
    box.ssh(f"jv/bin/python - {kernel} 'while True: pass'", input=_EXECUTE)
    _stays_up_by(box, "jupyter")
    assert "kernel lesson1.ipynb computes" in box.status()["verdict"]["reason"]
    box.ssh(f"curl -fsS -X POST -H 'Authorization: token secret' {_API}/kernels/{kernel}/interrupt")
    return _off(box, IDLE)


@story()
def a_gpu_that_computes(box: Box) -> Outcome:
    box.ssh("true", check=False)
    box.wait_for_ssh()
    _stand_in_nvidia_smi(box)
    box.ssh("echo 97 >/tmp/percent")
    box.arm()
    _stays_up_by(box, "gpu")
    box.ssh("echo 0 >/tmp/percent")
    return _off(box, IDLE)


@story()
def a_box_that_is_kept(box: Box) -> Outcome:
    box.arm()
    box.ssh("gpu-box-watch keep 1h")
    _stays_up_by(box, "keep")
    box.ssh("gpu-box-watch keep --off")
    return _off(box, IDLE)


# Faults.


@story()
def kill_9_of_the_watcher(box: Box) -> Outcome:
    """systemd starts it again, and it goes on with what it knew."""
    box.arm()
    first = box.ssh("systemctl show --property=MainPID --value gpu-box-watch").stdout
    box.ssh("sudo systemctl kill --signal=KILL gpu-box-watch")
    time.sleep(8)
    second = box.ssh("systemctl show --property=MainPID --value gpu-box-watch").stdout
    assert second not in (first, "0\n")
    return _off(box, IDLE, "systemd restarted it")


@story()
def the_watcher_masked(box: Box) -> Outcome:
    box.arm()
    box.ssh("sudo systemctl mask --now gpu-box-watch")
    return _off(box, 20)


@story()
def the_watcher_frozen(box: Box) -> Outcome:
    box.arm()
    box.ssh("sudo systemctl kill --signal=STOP gpu-box-watch")
    return _off(box, 20)


@story()
def the_watcher_s_files_deleted(box: Box) -> Outcome:
    box.arm()
    box.ssh("sudo rm -rf /usr/local/lib/gpu-box/watch && sudo systemctl kill --signal=KILL gpu-box-watch")
    return _off(box, 20)


@story()
def a_full_disk_under_a_watcher(box: Box) -> Outcome:
    """A small disk of its own under the state folder: the samples find no room, the reason does."""
    box.wait_for_ssh()
    _small_disk(box)
    box.arm()
    box.ssh("sudo dd if=/dev/zero of=/var/lib/gpu-box/filler bs=4k 2>/dev/null; true")
    box.ssh(_KEEP_A_COPY)
    return _off(box, IDLE)


@story()
def a_full_disk_and_no_watcher(box: Box) -> Outcome:
    box.wait_for_ssh()
    _small_disk(box)
    box.arm()
    box.ssh("sudo dd if=/dev/zero of=/var/lib/gpu-box/filler bs=4k 2>/dev/null; true")
    box.ssh(_KEEP_A_COPY)
    box.ssh("sudo systemctl mask --now gpu-box-watch")
    return _off(box, 20)


@story()
def nvidia_smi_hangs(box: Box) -> Outcome:
    """It cannot tell for `stuck_after`, and no longer."""
    box.wait_for_ssh()
    _stand_in_nvidia_smi(box)
    box.ssh("echo hang >/tmp/percent")
    box.arm()
    assert not box.off_within(IDLE)
    return _off(box, STUCK)


@story(fuse="20s")
def set_up_never_ran(box: Box) -> Outcome:
    """As if the laptop had died right after RunInstances."""
    return _off(box, 20)


@story(fuse="20s")
def a_healthy_watcher_cuts_the_fuse(box: Box) -> Outcome:
    box.arm(idle_after="1h")
    assert not box.off_within(25), box.stopped()
    box.ssh("gpu-box-watch policy idle_after=1s")
    return _off(box, 2)


@story(fuse="25s")
def a_reboot_lights_the_fuse_again(box: Box) -> Outcome:
    """Without its watcher: at the second boot nothing reports healthy, and the guard is away too."""
    box.arm(idle_after="1h")
    box.ssh("sudo systemctl disable gpu-box-watch gpu-box-guard.timer && sudo systemctl reboot", check=False)
    return _off(box, 35)


WHO = {
    "the_watcher_masked": "guard",
    "the_watcher_frozen": "guard",
    "the_watcher_s_files_deleted": "guard",
    "a_full_disk_and_no_watcher": "guard",
    "set_up_never_ran": "fuse",
    "a_reboot_lights_the_fuse_again": "fuse",
}

# /var/lib/gpu-box is a mount of its own there, which is gone with the machine: save it on the way down.
_KEEP_A_COPY = """
sudo tee /run/systemd/system/save.service >/dev/null <<'UNIT'
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStop=/bin/sh -c "mkdir -p /saved; cat /var/lib/gpu-box/watch/stopped.json >/saved/stopped.json"
UNIT
sudo systemctl daemon-reload && sudo systemctl start save
"""


_DOWNLOAD = """
mirror=$(grep -o 'http[^ ]*' /etc/apt/sources.list | head -n 1)
file=$mirror/dists/bookworm/main/binary-amd64/Packages.xz
curl -fsS -I "$file" >/dev/null
(while :; do curl -fsS --limit-rate 2M -o data "$file"; done) >/dev/null 2>&1 &
echo $! >pid
for _ in $(seq 50); do
    [ "$(stat -c %s data 2>/dev/null || echo 0)" -gt 1000000 ] && exit
    sleep 0.2
done
exit 1
"""
_API = "http://127.0.0.1:8888/api"
_START_JUPYTER = f"""
mkdir -p work .gpu-box/jupyter && echo 8888 >.gpu-box/jupyter/port && echo secret >.gpu-box/jupyter/token
JUPYTER_TOKEN=secret setsid jv/bin/python -m jupyter_server --port=8888 --ServerApp.root_dir=$HOME/work \
    >log 2>&1 </dev/null &
for _ in $(seq 100); do curl -fsS {_API}/status?token=secret >/dev/null 2>&1 && exit; sleep 0.2; done; exit 1
"""
_NEW_KERNEL = f"""
curl -fsS -H 'Authorization: token secret' {_API}/sessions -d \
    '{{"path": "lesson1.ipynb", "type": "notebook", "name": "", "kernel": {{"name": "python3"}}}}' |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["kernel"]["id"])'
"""
# Runs a cell as a notebook's tab does, over the kernel's web socket, and closes the tab.
_EXECUTE = """
import asyncio, json, sys, uuid
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

async def go(kernel, code):
    url = f"ws://127.0.0.1:8888/api/kernels/{kernel}/channels?token=secret"
    link = await websocket_connect(HTTPRequest(url, request_timeout=40))
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "date": ""}
    header.update(session=uuid.uuid4().hex, version="5.3")
    content = {"code": code, "silent": False, "allow_stdin": True, "user_expressions": {}}
    message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
    await link.write_message(json.dumps(message))
    await asyncio.sleep(1)
    link.close()

asyncio.run(go(*sys.argv[1:]))
"""


def _small_disk(box: Box) -> None:
    box.ssh("sudo mkdir -p /var/lib/gpu-box && sudo mount -t tmpfs -o size=256k tmpfs /var/lib/gpu-box")


def _stand_in_nvidia_smi(box: Box) -> None:
    script = """#!/bin/sh
percent=$(cat /tmp/percent)
[ "$percent" != hang ] || exec sleep 1000
case $1 in
pmon) echo "0 4711 C $percent 0 - - python" ;;
*) echo "0, $percent" ;;
esac
"""
    path = "/usr/local/bin/nvidia-smi"
    box.ssh(f"sudo tee {path} >/dev/null && sudo chmod 755 {path}", input=script)


@pytest.fixture(scope="module")
def outcomes(nspawn: None, pytestconfig: pytest.Config) -> Iterator[dict[str, Future[Outcome]]]:
    """Every selected story, begun; the table once they are all told."""
    root_image()  # built before any story begins its clock
    folder = Path(tempfile.mkdtemp(prefix="gpu-box-machines-"))
    pool = ThreadPoolExecutor(SIDE_BY_SIDE)
    told = {name: pool.submit(_tell, folder / str(n), name) for n, name in enumerate(STORIES)}
    yield told
    for future in told.values():
        future.cancel()
    pool.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
    terminal = pytestconfig.get_terminal_writer()
    terminal.line()
    terminal.line(f"{'what happened':45} {'stopped by':10} {'after':>6}  why")
    for name, future in told.items():
        if future.done() and not future.cancelled() and future.exception() is None:
            told_of = future.result()
            terminal.line(
                f"{name.replace('_', ' '):45} {told_of.layer:10} {told_of.seconds:5.0f}s  {told_of.reason}"
            )


def _tell(folder: Path, name: str) -> Outcome:
    with running(folder, fuse=FUSES[name]) as box:
        return STORIES[name](box)


@pytest.mark.parametrize("name", list(STORIES))
def test_the_right_layer_stops_it_in_time(outcomes: dict[str, Future[Outcome]], name: str) -> None:
    try:
        outcome = outcomes[name].result(timeout=280)
    except Untold as reason:
        pytest.skip(str(reason))
    assert outcome.layer == WHO.get(name, "watcher"), outcome
    assert outcome.reason


def test_ec2_says_stopped_once_the_fuse_has_burnt(cloud: Cloud, key: KeyFile) -> None:
    """Never set up, with nothing but what RunInstances was given; the console keeps the reason, too."""
    host = make_key(key.path.parent, "host")
    document = render_user_data(
        Config(), host_private_key=host.path.read_text(), host_public_key=host.public
    ).replace("span=1800s", "span=10s")
    instance = cloud.run_with_machine(key, user_data=document)
    wait_until(lambda: cloud.state(instance) == "stopped", seconds=90)
    disk = cloud.machine_folder(instance) / "changes/var/lib/gpu-box/watch/stopped.json"
    assert json.loads(disk.read_text())["layer"] == "fuse"
    assert cloud.see(instance)["State"]["Name"] == "stopped"
