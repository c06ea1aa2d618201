"""A malicious account on the box does not become root, and the box still stops."""

from __future__ import annotations

import contextlib
import time

from .guaranteed import IDLE, LATE, Box
from .story import Outcome, off, story


@story()
def a_hostile_account(box: Box) -> Outcome:
    """Its sockets and servers note who comes; the owner's tmux still shows the warning."""
    box.ssh(f"sudo useradd -m -s /bin/sh {_NAME} && echo OF-ROOT | sudo tee /root/secret >/dev/null")
    box.ssh("sudo chmod 600 /root/secret; tmux new-session -d -s mine 'sleep 1000'")
    box.session("-tt", "TERM=xterm exec script -qfc 'tmux attach -t mine' screen")
    box.ssh("mkdir -p .gpu-box/jupyter && cd .gpu-box/jupyter && echo 8889 >port && echo OF-OWNER >token")
    box.ssh(f"cat >/tmp/traps.py; sudo runuser -u {_NAME} -- python3 /tmp/traps.py", input=_TRAPS)
    box.arm(stuck_after=5)
    seen: dict[str, str] = {}
    deadline = time.monotonic() + 2 * IDLE + LATE
    while not box.is_off_within(0.5) and time.monotonic() < deadline:
        for path in (f"{_NAME}/heard", f"{_NAME}/uid", "ubuntu/screen", "ubuntu/ran"):
            with contextlib.suppress(OSError):  # its disk goes with it
                seen[path] = (box.root / "home" / path).read_text(errors="replace")
    outcome = off(box, 10)
    heard = seen[f"{_NAME}/heard"]
    clients = {line for line in heard.splitlines() if line.startswith("tmux")}
    assert clients == {f"tmux {seen[f'{_NAME}/uid']}"}, f"who ran the tmux client: {heard}"
    assert "GET /api/kernels" in heard and "OF-ROOT" not in heard and "OF-OWNER" not in heard, heard
    assert "ubuntu/ran" not in seen, "a job's name was run as a command"
    assert "(cd;touch ran)" in outcome.reason and "this machine stops in" in seen["ubuntu/screen"]
    return outcome


_NAME = "mallory"
# Run as that account. What listens notes who comes, and goes on behind.
_TRAPS = """
import json, os, socket, struct, sys, threading, time

home = os.path.expanduser("~")
os.umask(0o022)
open(home + "/uid", "w").write(str(os.getuid()))
heard = open(home + "/heard", "a", buffering=1)
for folder in (".gpu-box/watch", ".gpu-box/jobs/#(cd;touch ran)", ".gpu-box/jobs/fifo",
               ".gpu-box/jupyter", ".gpu-box/remote", ".local/share/jupyter/runtime"):
    os.makedirs(os.path.join(home, folder), exist_ok=True)
os.chdir(home + "/.gpu-box")
os.mkfifo("notify.json")
os.mkfifo("jobs/fifo/pid")
open("watch/keep", "w").write("[" * 1000)
os.symlink("/root/secret", "jupyter/token")
os.symlink("/", home + "/.vscode-server")

def listen(family, address):
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen()
    return listener

folder = "/tmp/tmux-%d" % os.getuid()
os.mkdir(folder, 0o700)
tmux = listen(socket.AF_UNIX, folder + "/default")
mine, owners = listen(socket.AF_INET, ("127.0.0.1", 8888)), listen(socket.AF_INET, ("127.0.0.1", 8889))
open("jupyter/port", "w").write("8888")
if os.fork():
    sys.exit()
os.setsid()
for file in (0, 1, 2):
    os.dup2(os.open(os.devnull, os.O_RDWR), file)
os.chdir("jobs/#(cd;touch ran)")
open("pid", "w").write(str(os.getpid()))
log = open("log", "w", buffering=1)

def clients():
    while True:
        link, _ = tmux.accept()
        uid = struct.unpack("iii", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        heard.write("tmux %d\\n" % uid)
        time.sleep(60)  # and never answers

def requests(listener):
    while True:
        link, _ = listener.accept()
        heard.write(ascii(link.recv(4096)) + "\\n")
        link.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n[]")
        link.close()

for work, what in ((clients, ()), (requests, (mine,)), (requests, (owners,))):
    threading.Thread(target=work, args=what).start()
for _ in range(25):
    log.write("works\\n")
    time.sleep(1)
"""
