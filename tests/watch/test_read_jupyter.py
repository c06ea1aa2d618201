"""The Jupyter reader against a real Jupyter server with a real kernel."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from notebook_server import NOTEBOOK, classify_marked, execute, send, serve, until_seen, with_password

from watch.judge import State, verdict
from watch.policy import Policy
from watch.read.jupyter import Kernels
from watch.read.jupyter_servers import Servers
from watch.read.people import User
from watch.read.processes import Processes, time_since_boot
from watch.sample import Jupyter, Rate, Sample
from watch.signals import Means, read_signals

MEANS = Means(Rate(0.0, ""), Rate(0.0, ""), Rate(0.0, ""), {})


def _sample(jupyter: Jupyter) -> Sample:
    return Sample(boot="a", mono=1.0, wall=1.0, up=1.0, over=1.0, jupyter=jupyter)


def test_a_kernel_is_followed_from_computing_to_idle_to_stuck(program, server):
    session = {"path": "lesson1.ipynb", "type": "notebook", "name": "", "kernel": {"name": "python3"}}
    kernel_id = server.ask("sessions", session)["kernel"]["id"]
    assert until_seen(server, lambda seen: seen.kernels).kernels[0].name == "lesson1.ipynb"

    execute(program, server, kernel_id, "while True: pass")
    computing = until_seen(
        server, lambda seen: seen.kernels[0].state == "busy" and seen.kernels[0].cores > 0.1
    )
    assert computing.kernels[0].name == "lesson1.ipynb"

    server.ask(f"kernels/{kernel_id}/interrupt", {})
    used = until_seen(server, lambda seen: seen.kernels[0].state == "idle")
    assert used.kernels[0].quiet < 5

    execute(program, server, kernel_id, "import time\nwhile True: time.sleep(0.3); print('waiting')")
    stuck = until_seen(
        server, lambda seen: seen.kernels[0].state == "busy" and (seen.kernels[0].quiet or 0) > 2
    )
    assert stuck.kernels[0].cores < 0.05, "it only sleeps and prints"


def _busy(seen: Jupyter) -> bool:
    return seen.kernels[0].state == "busy"


def test_saving_a_document_is_use_and_an_open_tab_is_not(server):
    document = server.home / "work" / "notes.ipynb"
    document.write_text("{}")
    os.utime(document, (time.time() - 900, time.time() - 900))
    session = {"path": "notes.ipynb", "type": "notebook", "name": "", "kernel": {"name": "python3"}}
    server.ask("sessions", session)
    seen = until_seen(server, lambda seen: seen.documents)
    assert seen.documents[0].quiet > 800
    cell = {"cell_type": "code", "source": ["a = 1"], "execution_count": None, "outputs": []}
    document.write_text(json.dumps({"cells": [cell]}))
    assert server.read().documents[0].quiet < 2


def test_saving_only_output_is_no_use_and_running_a_cell_is(server):
    """The autosave of a forgotten tab does this, and jupyter-collaboration on the server."""
    document = server.home / "work" / "lesson1.ipynb"
    cell = {"cell_type": "code", "source": ["go()"], "execution_count": 1, "outputs": []}
    document.write_text(json.dumps({"cells": [cell]}))
    os.utime(document, (time.time() - 900, time.time() - 900))
    server.ask("sessions", NOTEBOOK)
    assert until_seen(server, lambda seen: seen.documents).documents[0].quiet > 800
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["printed by a thread"]}]
    document.write_text(json.dumps({"cells": [cell]}))
    assert server.read().documents[0].quiet > 800
    document.write_text('{"cells": [')
    assert server.read().documents[0].quiet > 800, "it is being written"
    cell["execution_count"] = 2
    document.write_text(json.dumps({"cells": [cell]}))
    assert server.read().documents[0].quiet < 2


def test_a_save_by_the_recorder_is_no_use_and_one_by_a_person_after_it_is(server):
    document = server.home / "work" / "lesson1.ipynb"
    cell = {"cell_type": "code", "source": ["go()"], "execution_count": 1, "outputs": []}
    document.write_text(json.dumps({"cells": [cell]}))
    os.utime(document, (time.time() - 900, time.time() - 900))
    person = document.stat().st_mtime_ns
    server.ask("sessions", NOTEBOOK)
    assert until_seen(server, lambda seen: seen.documents).documents[0].quiet > 800
    for count in (2, 3):  # each of its saves notes its time first
        cell["execution_count"] = count
        document.write_text(json.dumps({"cells": [cell]}))
        note = {str(document): [document.stat().st_mtime_ns, person]}
        (server.home / ".gpu-box/jupyter/recorded.json").write_text(json.dumps(note))
        assert server.read().documents[0].quiet > 800
    cell["source"] = ["go(2)"]
    document.write_text(json.dumps({"cells": [cell]}))
    assert server.read().documents[0].quiet < 2


@pytest.mark.parametrize(
    "note",
    ["", "[]", '{"%s": 1}', '{"%s": ["a", 1]}', '{"%s": [1e400, -1]}', '{"%s": [1' + "0" * 400 + ", 1]}"],
)
def test_a_broken_note_of_the_recorder_hides_no_save(server, note):
    document = server.home / "work" / "lesson1.ipynb"
    document.write_text("{}")
    (server.home / ".gpu-box/jupyter/recorded.json").write_text(note.replace("%s", str(document)))
    server.ask("sessions", NOTEBOOK)
    assert until_seen(server, lambda seen: seen.documents).documents[0].quiet < 60


def test_kernel_messages_are_no_use(program, server):
    """Output of a thread, a comm message and a resource panel change the kernel's last activity."""
    kernel_id = server.ask("sessions", NOTEBOOK)["kernel"]["id"]
    code = """import threading, time
def go():
    while True:
        time.sleep(0.3); print("epoch")
threading.Thread(target=go).start()"""
    execute(program, server, kernel_id, code)
    until_seen(server, lambda seen: seen.kernels[0].state == "idle", 60)
    quiet = server.read().kernels[0].quiet
    before = server.ask("kernels")[0]["last_activity"]
    send(program, server, kernel_id, "shell", "comm_msg", {"comm_id": "1", "data": {}})
    send(program, server, kernel_id, "control", "usage_request", {})
    assert server.ask("kernels")[0]["last_activity"] > before
    assert server.read().kernels[0].quiet >= quiet + 2


def test_a_server_with_a_password_hides_no_other_server_s_kernel(program, server, free_port):
    server.ask("sessions", NOTEBOOK)
    with serve(program, server.home, free_port, with_password(program), token=""):
        seen = until_seen(server, lambda seen: seen.kernels)
        assert seen.kernels[0].name == "lesson1.ipynb"
        assert seen.silent == (), "it has no kernels to hide"


def test_a_save_in_a_server_with_a_password_is_use(program, tmp_path, free_port):
    (tmp_path / "work").mkdir()
    document = tmp_path / "work" / "train.py"
    document.write_text("a = 1")
    os.utime(document, (time.time() - 900, time.time() - 900))
    workspaces = tmp_path / ".jupyter/lab/workspaces"
    workspaces.mkdir(parents=True)
    tab = {"data": {"editor:train.py": {"data": {"path": "train.py", "factory": "Editor"}}}}
    (workspaces / "default-37a8.jupyterlab-workspace").write_text(json.dumps(tab))
    with serve(program, tmp_path, free_port, with_password(program), token="") as protected:
        assert protected.read().documents[0].quiet > 800
        document.write_text("a = 2")
        assert protected.read().documents[0].quiet < 2


def test_a_hung_server_counts_only_if_it_has_kernels_and_hides_no_other(program, server, free_port):
    server.ask("sessions", NOTEBOOK)
    with serve(program, server.home, free_port) as hung:
        server.timeout = 2.0
        hung.process.send_signal(signal.SIGSTOP)
        assert until_seen(server, lambda seen: seen.kernels).silent == ()
        hung.process.send_signal(signal.SIGCONT)
        hung.ask("sessions", NOTEBOOK)
        hung.process.send_signal(signal.SIGSTOP)
        seen = server.read()
        assert len(seen.kernels) == 1 and str(free_port) in seen.silent[0]
        assert read_signals(_sample(seen), MEANS, Policy())["jupyter"].held


def test_a_dead_server_s_file_whose_pid_was_reused_hides_nothing(server, tmp_path):
    server.ask("sessions", NOTEBOOK)
    other = subprocess.Popen(["sleep", "60"])
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        info = {"pid": other.pid, "port": listener.getsockname()[1], "token": "x", "base_url": "/"}
        file = server.home / f".local/share/jupyter/runtime/jpserver-{other.pid}.json"
        file.write_text(json.dumps(info))
        seen = until_seen(server, lambda seen: seen.kernels)
        assert seen.kernels[0].name == "lesson1.ipynb" and seen.silent == ()
    finally:
        other.kill()
        other.wait(60)
        listener.close()


def test_a_file_older_than_its_process_belongs_to_a_dead_server(server):
    (file,) = (server.home / ".local/share/jupyter/runtime").glob("jpserver-*[0-9].json")
    (server.home / ".gpu-box/jupyter/port").unlink()
    boot = time.time() - time_since_boot()
    assert [found.pid for found in Servers().of(server.user, boot=boot)] == [server.process.pid]
    os.utime(file, (time.time() - 3600, time.time() - 3600))
    assert Servers().of(server.user, boot=boot) == []


def test_dead_servers_and_those_of_an_earlier_boot_are_ignored(server):
    assert isinstance(server.read(), Jupyter | None)
    server.process.kill()
    server.process.wait(60)
    assert server.read() is None
    long_ago = time.time() - 10 * 86_400 * 365
    os.utime(server.home / ".gpu-box/jupyter/port", (long_ago, long_ago))
    assert Servers().of(server.user, boot=time.time() - 60) == []


def test_a_server_that_refuses_the_token_may_hide_kernels(tmp_path):
    (tmp_path / ".gpu-box" / "jupyter").mkdir(parents=True)
    listener = socket.create_server(("127.0.0.1", 0))
    (tmp_path / ".gpu-box/jupyter/port").write_text(str(listener.getsockname()[1]))
    (tmp_path / ".gpu-box/jupyter/token").write_text("x")

    def answer() -> None:
        link, _ = listener.accept()
        link.recv(4096)
        link.sendall(b"HTTP/1.0 403 Forbidden\r\n\r\n")
        link.close()

    thread = threading.Thread(target=answer)
    thread.start()
    reader = Kernels(Processes(classify_marked))
    user = User("me", os.getuid(), str(tmp_path))
    seen = reader.read([user], set(), mono=time.monotonic(), wall=time.time(), slow=0.0, timeout=2.0)
    thread.join()
    listener.close()
    assert "403" in seen.silent[0]


def test_a_server_that_drips_its_answer_does_not_delay_the_sample(tmp_path):
    """A few bytes every few milliseconds never exceed the timeout of one read."""
    (tmp_path / ".gpu-box" / "jupyter").mkdir(parents=True)
    listener = socket.create_server(("127.0.0.1", 0))
    (tmp_path / ".gpu-box/jupyter/port").write_text(str(listener.getsockname()[1]))
    (tmp_path / ".gpu-box/jupyter/token").write_text("x")
    over = threading.Event()

    def drip() -> None:
        link, _ = listener.accept()
        with contextlib.suppress(OSError), link:
            while not over.wait(0.005):
                link.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    threading.Timer(20.0, over.set).start()
    reader = Kernels(Processes(classify_marked))
    user = User("me", os.getuid(), str(tmp_path))
    seen = reader.read([user], set(), mono=time.monotonic(), wall=time.time(), slow=0.0, timeout=1.0)
    assert not over.is_set(), "it read without a time limit"
    over.set()
    thread.join()
    listener.close()
    assert seen.silent


def test_no_server_is_quiet_and_not_unknown(tmp_path):
    reader = Kernels(Processes(classify_marked))
    seen = reader.read(
        [User("me", os.getuid(), str(tmp_path))], set(), mono=1.0, wall=time.time(), slow=0.0, timeout=2.0
    )
    assert seen is None
    assert not verdict(State(), Policy()).stop
