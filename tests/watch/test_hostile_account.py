"""A malicious account gains nothing from a watcher that runs as root, and the box still stops."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watcher_box import Box

from setup import jupyter_server
from watch import interruption, notices, stop
from watch.place import Place
from watch.read import command, keeping
from watch.read.jobs import Jobs, _claims
from watch.read.jupyter import Kernels
from watch.read.jupyter_servers import Servers
from watch.read.people import Kind, User
from watch.read.processes import Processes
from watch.read.text import shown
from watch.run import Ended, Watcher

UID = 54321  # not used by any account
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to act as another user")


@pytest.fixture
def world() -> Iterator[Path]:
    """A folder that every user can enter; pytest's belongs to root."""
    folder = Path(tempfile.mkdtemp(prefix="gpu-box-hostile-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def evil(world: Path) -> User:
    home = world / "home"
    home.mkdir()
    os.chown(home, UID, UID)
    return User("evil", UID, str(home), UID)


@pytest.fixture
def program(world: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """program(name, shell): a program on PATH, and the file into which it writes."""
    folder, said = world / "bin", world / "said"
    folder.mkdir()
    said.touch()
    said.chmod(0o666)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name: str, shell: str) -> Path:
        (folder / name).write_text(f"#!/bin/sh\n({shell}) >>{said}\n")
        (folder / name).chmod(0o755)
        return said

    return make


def own(path: Path) -> None:
    """Give it and its content to the other account."""
    for one in [path, *path.rglob("*")]:
        os.chown(one, UID, UID, follow_symlinks=False)


def listen(folder: Path) -> Path:
    folder.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "default"))
    return folder


@pytest.fixture
def tmux(world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMUX_TMPDIR", str(world))
    return world


@needs_root
@pytest.mark.parametrize("closed", [True, False])
def test_a_link_into_a_folder_that_only_root_may_enter_shows_nothing_of_it(
    world: Path, evil: User, closed: bool
) -> None:
    secret = world / "secret"
    (secret / "jobs" / "a").mkdir(parents=True)
    (secret / "jobs" / "a" / "pid").write_text(f"{os.getpid()}\n")
    keeping.write(str(secret / "keep.json"), 3600, boot="now", mono=0, wall=0)
    own(secret)
    os.chown(secret, 0, 0)
    secret.chmod(0o700 if closed else 0o755)  # open: what the test looks for is there
    (Path(evil.home) / ".gpu-box").symlink_to(secret)
    kept = keeping.left([(evil, f"{evil.home}/.gpu-box/keep.json")], boot="now", mono=0, wall=0)
    claims = _claims(evil)[0]
    assert (kept > 0, len(claims) > 0) == (not closed, not closed)


@needs_root
def test_the_tmux_client_runs_as_the_user_with_nothing_of_root_s(tmux, evil, program, monkeypatch):
    monkeypatch.setattr(stop, "users", lambda: [evil], raising=False)
    monkeypatch.setenv("SECRET", "of-root")
    program("wall", "true")
    said = program("tmux", 'echo "$(id -u) $(id -g) $(id -G) $SECRET $HOME"; ls /proc/self/fd | tr "\\n" " "')
    own(listen(tmux / f"tmux-{UID}"))
    with open(os.devnull) as extra:
        os.set_inheritable(extra.fileno(), True)
        stop.announce("it stops")
    ids, files = said.read_text().splitlines()
    assert ids == f"{UID} {UID} {UID}  {evil.home}"
    assert set(files.split()) <= {"0", "1", "2", "3"}  # 3: opened by ls


@needs_root
@pytest.mark.parametrize("how", ["a link", "of another", "open to others", "no socket", "socket of another"])
def test_a_tmux_folder_that_others_can_write_is_not_used(how, tmux, evil, program, monkeypatch):
    monkeypatch.setattr(stop, "users", lambda: [evil], raising=False)
    program("wall", "true")
    said = program("tmux", "echo called")
    folder = listen(tmux / (f"tmux-{UID}" if how != "a link" else "elsewhere"))
    own(folder)
    if how == "a link":
        (tmux / f"tmux-{UID}").symlink_to(folder)
    elif how == "of another":
        os.chown(folder, UID + 1, UID)
    elif how == "open to others":
        folder.chmod(0o750)
    elif how == "no socket":
        (folder / "default").unlink()
        (folder / "default").touch()
        own(folder)
    else:
        os.chown(folder / "default", UID + 1, UID)
    stop.announce("it stops")
    assert said.read_text() == ""


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux here")
def test_tmux_does_not_run_a_name_as_a_command(tmux, program):
    """`display-message` runs #(...) as the warned user, who may have sudo."""
    program("wall", "true")
    server = ["tmux", "-f", "/dev/null"]
    keyboard, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
    pipes = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    client = subprocess.Popen(
        [*server, "new-session", "sleep 60"],
        env={**os.environ, "TERM": "xterm"},
        start_new_session=True,
        **pipes,
    )
    try:
        drawn = os.read(keyboard, 1 << 16)
        stop.announce(f"80 % of it; last activity: job #(touch {tmux}/ran) ##(touch {tmux}/ran) %H")
        while b"gpu-box: 80 % of it; last activity: job (touch" not in drawn:
            assert select.select([keyboard], [], [], 60)[0], f"no warning in the user's tmux: {drawn!r}"
            drawn += os.read(keyboard, 1 << 16)
        assert b"%H" in drawn
        time.sleep(0.5)
        assert not (tmux / "ran").exists()
    finally:
        subprocess.run([*server, "kill-server"], check=True, timeout=60)
        client.wait(60)
        os.close(keyboard)
        os.close(terminal)


@pytest.mark.parametrize(
    "name", ["a\x1b]0;x\x07", "two\nlines", "nul\0", "half \ud800", "x" * 5000, "\u202eabc"]
)
def test_a_name_is_one_short_printable_line(name):
    clean = shown(name)
    assert clean.isprintable() and len(clean) <= 100
    clean.encode()
    os.fsencode(clean)


def test_control_characters_in_a_job_s_name_reach_no_terminal(world):
    folder = world / ".gpu-box/jobs/train\x1b[2J\nnow"
    folder.mkdir(parents=True)
    (folder / "pid").write_text(str(os.getpid()))
    processes = Processes(lambda pid, uid, name: Kind.SYSTEM)
    processes.look()
    user = User("me", os.getuid(), str(world))
    (job,) = Jobs(processes).read([user], set(), mono=time.monotonic(), wall=time.time())
    assert job.name == "train?[2J?now"


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 42)


def make_deep(path: Path) -> None:
    path.write_text("[" * 60000)


@pytest.mark.parametrize("make", [make_fifo, make_huge, make_deep])
def test_a_malicious_notify_json_does_not_prevent_a_stop(make, box: Box):
    path = Path(box.environment["HOME"], ".gpu-box", "notify.json")
    path.parent.mkdir(exist_ok=True)
    make(path)
    box.start()
    assert box.stopped_within(60)


def test_the_power_off_comes_whatever_fails_before_it(tmp_path, monkeypatch):
    off = tmp_path / "off"
    rules = {"idle_after": 0.1, "settle": 0, "stuck_after": 0, "interval": 0.1, "max_hours": 1e-9}
    (tmp_path / "policy.json").write_text(json.dumps({**rules, "stop_command": ["touch", str(off)]}))
    monkeypatch.setenv("GPU_BOX_MACHINE", "test-of-the-power-off")

    def breaks(*_: object, **__: object) -> None:
        raise ValueError("embedded null byte")

    for module, name in ((stop, "record"), (stop, "announce"), (notices, "begin"), (notices, "last_words")):
        monkeypatch.setattr(module, name, breaks)
    Watcher(Place(str(tmp_path), str(tmp_path))).tick()
    assert off.exists()


def test_a_hung_driver_does_not_prevent_the_power_off(program, world, monkeypatch):
    """After three unkillable calls nvidia-smi is not called again; `poweroff` still is."""
    program("nvidia-smi", "exec sleep 60")
    monkeypatch.setattr(command, "_unkillable", {})
    hanging = []
    with monkeypatch.context() as patch:
        for name in ("kill", "killpg"):
            patch.setattr(os, name, lambda pid, number: hanging.append(pid))
        for _ in range(4):
            with pytest.raises(TimeoutError):
                command.run(["nvidia-smi"], seconds=0.1)
    try:
        assert stop.power_off(("touch", str(world / "off"))) == []
        assert (world / "off").exists()
    finally:
        for pid in set(hanging):
            os.killpg(pid, 9)
            os.waitpid(pid, 0)


def test_systemd_gets_a_signal_if_no_program_can_start(monkeypatch):
    """A user can use up the service's task limit."""
    sent = []

    def refuses(*_: object, **__: object) -> str:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.delenv("GPU_BOX_MACHINE", raising=False)
    monkeypatch.setattr(stop, "run", refuses)
    monkeypatch.setattr(stop, "systemd", lambda: True, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    stop.power_off((), wait=lambda seconds: None)
    assert sent == [(1, signal.SIGRTMIN + 4)]


def test_a_full_run_folder_does_not_prevent_a_stop(box: Box):
    for name in ("pid", "heartbeat", "healthy", "verdict.json", "figures.json"):
        (box.state / f"{name}.new").mkdir()
    box.start()
    assert box.stopped_within(60)


@needs_root
def test_a_notice_is_sent_as_the_user_who_owns_the_address(evil, world, program, monkeypatch):
    said = program("sender", 'echo "$(id -u) $*"')
    monkeypatch.setattr(notices, "users", lambda: [evil])
    monkeypatch.delenv("GPU_BOX_MACHINE", raising=False)
    monkeypatch.setattr(sys, "executable", str(world / "bin/sender"))
    folder = Path(evil.home, ".gpu-box")
    folder.mkdir()
    (folder / "notify.json").write_text(json.dumps({"webhook": "http://127.0.0.1:1/"}))
    own(folder)
    notices.last_words("stopped", "idle")
    assert said.read_text().startswith(f"{UID} ")


@needs_root
def test_jobs_are_signalled_as_their_user_and_one_user_cannot_delay_another(evil, world, monkeypatch):
    monkeypatch.setattr(interruption, "WITHIN", 3.0, raising=False)
    other = User("ada", UID + 1, str(world / "ada"), UID + 1)
    for user, code in (
        (evil, "import time; time.sleep(60)"),
        (other, "import os; print(os.getuid(), file=open('signalled', 'w'))"),
    ):
        jobs = Path(user.home, ".gpu-box/remote/jobs")
        jobs.mkdir(parents=True)
        Path(user.home, ".gpu-box/jobs").mkdir()
        (jobs / "__main__.py").write_text(code)
        for path in [Path(user.home), *Path(user.home).rglob("*")]:
            os.chown(path, user.uid, user.gid)
    (problem,) = interruption.interrupt_jobs([evil, other])
    assert problem == "the jobs of evil got no signal: no answer"
    assert Path(other.home, ".gpu-box/remote/signalled").read_text() == f"{UID + 1}\n"


@pytest.mark.parametrize(
    "text",
    ["[" * 1024, '{"boot": "b", "mono": Infinity, "for": Infinity}', '{"boot": "b", "mono": NaN, "for": NaN}',
     '{"boot": "x", "mono": 1e308, "wall": 1e308, "for": 1e308}', '{"boot": "b", "mono": 1e308, "for": 60}',
     '{"boot": "b", "mono": 62.1, "for": 60}', '{"boot": "x", "wall": 1e308, "for": 60}',
     '{"boot": "b", "mono": 60, "for": 2592001}', '{"boot": "b", "mono": 60, "for": -1}',
     '{"boot": "b", "mono": 1e999, "for": 1' + "0" * 400 + "}", '{"boot": "b", "mono": {}, "for": []}', "\0"],
)  # fmt: skip
def test_a_malicious_keep_holds_nothing_and_breaks_nothing(text, tmp_path):
    user = User("me", os.getuid(), str(tmp_path))
    path = tmp_path / "keep"
    path.write_text(text)
    assert keeping.left([(user, str(path))], boot="b", mono=1.0, wall=1e9) == 0.0


@needs_root
def test_a_keep_that_links_to_root_s_file_holds_nothing(evil, world):
    secret = world / "secret"
    keeping.write(str(secret), 3600, boot="b", mono=0, wall=0)
    secret.chmod(0o600)
    link = Path(evil.home, "keep")
    link.symlink_to(secret)
    assert keeping.left([(evil, str(link))], boot="b", mono=1.0, wall=1.0) == 0.0
    assert keeping.left([(None, str(secret))], boot="b", mono=1.0, wall=1.0) > 3000
    assert (os.geteuid(), os.getegid()) == (0, 0), "root is root again"


SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    link, _ = listener.accept()
    print(link.recv(4096).decode().replace("\\r\\n", "|"), flush=True)
    link.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n[]")
    link.close()
"""


@pytest.fixture
def stranger(world: Path) -> Iterator[tuple[int, Path]]:
    """The other account's server: its port, and the file with what it received."""
    heard = world / "heard"
    with heard.open("w") as file:
        process = subprocess.Popen(["/usr/bin/python3", "-c", SERVER], stdout=file, user=UID, group=UID)
    try:
        deadline = time.monotonic() + 60
        while not heard.read_text().endswith("\n"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield int(heard.read_text()), heard
    finally:
        process.kill()
        process.wait(60)


def jupyter_of(user: User, port: int) -> Path:
    """Write the port and token files as set-up does; returns the token's path."""
    folder = Path(user.home, ".gpu-box", "jupyter")
    folder.mkdir(parents=True)
    (folder / "port").write_text(f"{port}\n")
    (folder / "token").write_text("SECRET")
    return folder / "token"


def ask(user: User) -> object:
    reader = Kernels(Processes(lambda pid, uid, name: Kind.SYSTEM))
    return reader.read([user], set(), mono=time.monotonic(), wall=time.time(), slow=0.0, timeout=2.0)


@needs_root
def test_a_token_that_links_to_root_s_file_is_not_sent(evil, world, stranger):
    """The link's owner listens on the named port."""
    port, heard = stranger
    (world / "secret").write_text("SECRET-OF-ROOT")
    (world / "secret").chmod(0o600)
    token = jupyter_of(evil, port)
    token.unlink()
    token.symlink_to(world / "secret")
    own(Path(evil.home))
    assert ask(evil) is None
    assert "token" in heard.read_text() and "SECRET" not in heard.read_text()


@needs_root
def test_a_token_is_sent_only_to_its_user_s_server(world, stranger):
    """Our server is down and another account took its port. The token allows running code as us."""
    port, heard = stranger
    me = User("me", 0, str(world / "me"), 0)
    jupyter_of(me, port)
    assert ask(me) is None, "our server is down"
    assert "SECRET" not in heard.read_text()


@needs_root
def test_set_up_sends_its_token_to_no_other_user_while_its_server_starts(world, stranger, monkeypatch):
    port, heard = stranger
    me = User("me", 0, str(world / "me"), 0)
    monkeypatch.setattr(jupyter_server, "FOLDER", jupyter_of(me, port).parent)
    monkeypatch.setattr(jupyter_server, "_pid", os.getpid)
    assert not jupyter_server.answers()
    assert "SECRET" not in heard.read_text()


def test_of_many_servers_in_one_home_only_a_few_are_asked(tmp_path):
    runtime = tmp_path / ".local/share/jupyter/runtime"
    runtime.mkdir(parents=True)
    argv = ["bash", "-c", "exec -a jupyter-lab sleep 60"]
    started = [subprocess.Popen(argv) for _ in range(18)]
    odd = ({"port": -1}, {"port": 1e999}, {"port": None}, {"token": None, "port": "x"}, [], 7)
    try:
        time.sleep(0.3)
        for number, process in enumerate(started):
            info = {"port": 20000 + number, "token": "x"}
            if number < len(odd):
                info = {**info, **odd[number]} if isinstance(odd[number], dict) else odd[number]
            (runtime / f"jpserver-{process.pid}.json").write_text(json.dumps(info))
        (runtime / f"jpserver-{started[-1].pid}.json").write_text("[" * 60000)
        (runtime / "jpserver-self.json").write_text("{}")
        assert len(Servers().of(User("me", os.getuid(), str(tmp_path)), boot=0.0)) == 8
    finally:
        for process in started:
            process.kill()
            process.wait(60)


def test_sigterm_during_a_reading_ends_the_watcher():
    from watch.read.machine import _try

    def reader() -> None:
        raise Ended

    with pytest.raises(Ended):
        _try(reader)
