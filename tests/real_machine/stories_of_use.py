"""Idle boxes and boxes in use, each by a real program that then ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from . import jupyter
from .guaranteed import IDLE, LATE, Box, folders
from .nvidia_smi import stand_in
from .story import Outcome, Untold, off, stays_up_by, story

# Half a core: clearly work, and it leaves room for the other stories.
HALF = """
import time
while True:
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass
    time.sleep(0.5)
"""


@story()
def an_idle_box(box: Box) -> Outcome:
    box.arm()
    outcome = off(box, IDLE)
    assert "Powering off." in box.reported(), "an orderly shutdown to its end, and not the one that is forced"
    _the_command_line_tells(box, outcome)
    return outcome


@story()
def a_forgotten_interactive_shell(box: Box) -> Outcome:
    box.arm()
    box.session("-tt")
    return off(box, IDLE)


@story()
def an_open_tunnel_to_nothing_that_works(box: Box) -> Outcome:
    box.arm()
    box.session("-N", "-L127.0.0.1:0:127.0.0.1:8888")
    return off(box, IDLE)


@story()
def an_idle_box_that_was_stopped_and_started(box: Box) -> Outcome:
    """The watcher is up again without anybody's doing, and the stop from outside was not its own."""
    box.arm()
    box.fleet.cloud.ec2.stop_instances(InstanceIds=[box.instance])
    assert off(box, 10).layer == "AWS"
    box.fleet.cloud.ec2.start_instances(InstanceIds=[box.instance])
    box.wait_for_ssh()
    box.wait_for_watcher()
    return off(box, IDLE)


@story()
def a_queue_that_goes_on_after_a_reboot(box: Box) -> Outcome:
    """Without a laptop. The box stops after the last job, an hour before it would be idle."""
    box.arm(idle_after="1h", stuck_after="1h")
    box.ssh("tar -x -C .gpu-box/remote", input=folders("jobs", "setup"))
    waits = "until [ -e /tmp/go ]; do sleep 0.2; done; exit 3"
    for name, line in (("first", "sleep 3600"), ("second", "id -un"), ("third", waits)):
        asked = {"name": name, "command": line, "cwd": "~", "queued": True, "then_stop": name == "third"}
        box.ssh("cd .gpu-box/remote && python3 -m jobs start", input=json.dumps(asked))
    box.ssh("sudo -n systemctl reboot", check=False)
    box.fleet.pause(5)
    box.wait_for_ssh()
    box.ssh("cd .gpu-box/jobs && until [ -e third/started ]; do sleep 0.2; done", seconds=LATE)
    ended = box.ssh("cd .gpu-box/jobs && cat first/exit second/exit second/log; id -un").stdout.split()
    assert ended[0] in ("143", "137") and ended[1] == "0" and ended[2:3] == ended[3:], ended
    box.ssh("touch /tmp/go")
    outcome = off(box, 60)
    assert "third ended with exit status 3, the last job (--then stop)" in outcome.reason
    return outcome


@story()
def a_cpu_loop_by_a_command_without_a_terminal(box: Box) -> Outcome:
    box.arm()
    loop = box.session(f"exec timeout 1000 python3 -c '{HALF}'")
    stays_up_by(box, "cpu")
    loop.kill()
    box.ssh("pkill -u ubuntu timeout", check=False)
    return off(box, IDLE)


@story()
def training_in_a_detached_tmux(box: Box) -> Outcome:
    box.arm()
    box.ssh("cat >train.py; tmux new-session -d -s train 'python3 train.py'", input=HALF)
    stays_up_by(box, "cpu")
    box.ssh("tmux kill-server")
    return off(box, IDLE)


@story()
def a_tty_being_typed_at(box: Box) -> Outcome:
    box.arm()
    shell = box.session("-tt")
    assert shell.stdin is not None
    for _ in range(IDLE + 12):
        shell.stdin.write(b"x")
        shell.stdin.flush()
        assert not box.is_off_within(1.0), "stopped while someone typed"
    return off(box, IDLE)


@story()
def a_job_that_writes_to_the_disk(box: Box) -> Outcome:
    box.arm()
    loop = "while :; do head -c 4000000 /dev/zero >data; sleep 0.5; done"
    box.ssh(f"({loop}) >/dev/null 2>&1 & echo $! >pid")
    stays_up_by(box, "disk")
    box.ssh("kill $(cat pid)")
    return off(box, IDLE)


@story()
def a_service_that_a_person_installed(box: Box) -> Outcome:
    """As Ollama's installer does: a unit in /etc, a system user."""
    box.arm()
    _serve(box, "/etc/systemd/system", "User=daemon")
    stays_up_by(box, "cpu")
    box.ssh("sudo systemctl stop half")
    return off(box, IDLE)


@story()
def sudo_systemd_run(box: Box) -> Outcome:
    box.arm()
    box.ssh(
        'cat >half.py; sudo systemd-run --unit=half -p DynamicUser=yes python3 -c "$(cat half.py)"',
        input=HALF,
    )
    stays_up_by(box, "cpu")
    box.ssh("sudo systemctl stop half")
    return off(box, IDLE)


@story()
def a_service_of_the_distribution_that_works(box: Box) -> Outcome:
    """No use of the box, nor is its DynamicUser= a person."""
    box.arm()
    _serve(box, "/usr/lib/systemd/system", "DynamicUser=yes")
    return off(box, IDLE)


@story()
def a_download(box: Box) -> Outcome:
    """From the Debian mirror through the machine's relay, at 2 MB/s and next to no processor."""
    box.arm()
    if box.ssh(_DOWNLOAD, check=False).returncode:
        raise Untold("no Debian mirror answers the machine")
    stays_up_by(box, "disk")
    box.ssh("kill $(cat pid); pkill curl; test $(stat -c %s data) -gt 1000000")
    return off(box, IDLE)


@story()
def a_jupyter_kernel_behind_an_open_tunnel(box: Box) -> Outcome:
    """It counts while it computes; the tunnel and the server that stay open afterwards do not."""
    if reason := jupyter.install(box.root):
        raise Untold(reason)
    box.ssh(jupyter.START, seconds=120)
    kernel = box.ssh(jupyter.NEW_KERNEL).stdout.strip()
    box.arm()
    box.session("-N", "-L127.0.0.1:0:127.0.0.1:8888")
    jupyter.execute(box, kernel, HALF)
    stays_up_by(box, "jupyter")
    assert "kernel lesson1.ipynb" in json.dumps(box.status()["signals"]["jupyter"])
    box.ssh(jupyter.interrupt(kernel))
    return off(box, IDLE)


@story()
def a_gpu_that_computes(box: Box) -> Outcome:
    stand_in(box)
    box.ssh("echo 97 >/tmp/percent")
    box.arm()
    stays_up_by(box, "gpu")
    box.ssh("echo 0 >/tmp/percent")
    return off(box, IDLE)


@story()
def a_box_that_is_kept(box: Box) -> Outcome:
    box.arm()
    box.ssh("gpu-box-watch keep 1h")
    stays_up_by(box, "keep")
    box.ssh("gpu-box-watch keep --off")
    return off(box, IDLE)


def _the_command_line_tells(box: Box, outcome: Outcome) -> None:
    """`gpu-box status` and `gpu-box why` of the stopped box, as a user types them."""
    command = Path(sys.executable).with_name("gpu-box")
    for words in (["status"], ["why"]):
        done = subprocess.run(
            [command, "--local", "--name", box.config.name, *words],
            env={**os.environ, "GPU_BOX_HOME": str(box.fleet.cloud.home), "COLUMNS": "400"},
            cwd=box.config.ssh.key.parent,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert outcome.layer in done.stdout and outcome.reason in done.stdout, done.stdout


_DOWNLOAD = """
mirror=$(grep -o 'http[^ ]*' /etc/apt/sources.list | head -n 1)
file=$mirror/dists/bookworm/main/binary-amd64/Packages.xz
curl -fsS -I "$file" >/dev/null
(while :; do curl -fsS --limit-rate 2M -o data "$file"; done) >/dev/null 2>&1 &
echo $! >pid
for _ in $(seq 150); do
    [ "$(stat -c %s data 2>/dev/null || echo 0)" -gt 1000000 ] && exit
    sleep 0.2
done
exit 1
"""


def _serve(box: Box, folder: str, user: str) -> None:
    """Start a service that uses half of a core, with its unit in this folder."""
    unit = f"[Service]\n{user}\nExecStart=/usr/bin/python3 /usr/local/lib/half.py\n"
    box.ssh("sudo tee /usr/local/lib/half.py >/dev/null", input=HALF)
    box.ssh(f"sudo tee {folder}/half.service >/dev/null", input=unit)
    box.ssh("sudo systemctl daemon-reload && sudo systemctl start half")
