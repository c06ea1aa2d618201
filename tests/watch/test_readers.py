"""Each reader against real things: a loop, a file, a terminal, a socket."""

from __future__ import annotations

import os
import pty
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from moved import moved, own_address
from only import only
from testbed.cloud import wait_until
from tests import needs

from watch.judge import State, step
from watch.place import this_start
from watch.policy import Policy
from watch.read import keeping, people
from watch.read.change import Changes
from watch.read.editors import Editors
from watch.read.jobs import Jobs
from watch.read.network import Network
from watch.read.people import Kind, User, classifier
from watch.read.processes import Processes
from watch.read.terminals import Terminals
from watch.sample import Sample, Used

PYTHON = sys.executable
BUSY = 0.05  # cores; a loop alone gets a whole one, and much less where this machine is busy


def _usage(processes: Processes, seconds: float = 0.6):
    processes.look()
    time.sleep(seconds)
    return processes.look()


def test_a_cpu_loop_is_one_busy_core(start):
    loop = start(PYTHON, "-c", "while True: pass")
    usage = _usage(Processes(only(loop.pid)))
    assert BUSY < usage.cpu.value < 1.3
    assert usage.cpu.who.startswith("python")


def test_a_loop_of_short_commands_is_work(start):
    """They end between two samples; the kernel adds their time to the shell that reaped them."""
    shell = start("sh", "-c", f"while :; do {PYTHON} -S -c 'sum(range(10**6))'; done")
    assert _usage(Processes(only(shell.pid)), 1.0).cpu.value > BUSY


def test_use_before_the_first_sample_does_not_count(start):
    done = start(
        PYTHON, "-c", "import time; sum(range(10**7)); print(1, flush=True); time.sleep(60)", stdout=-1
    )
    done.stdout.readline()
    assert _usage(Processes(only(done.pid))).cpu.value < BUSY
    done.stdout.close()


def test_an_ended_process_is_not_counted_twice(start):
    """Its parent inherits its whole use; only the part not yet counted must count."""
    child = f"{PYTHON} -c 'import time; t=time.time()\nwhile time.time()-t < 1.2: pass'"
    parent = start("sh", "-c", f"{child}; sleep 60")
    processes = Processes(only(parent.pid))
    processes.look()
    total = 0.0
    for _ in range(5):
        time.sleep(0.4)
        usage = processes.look()
        total += usage.cpu.value * usage.over
    assert total < 1.5


def test_writing_a_file_is_disk_use(start, tmp_path):
    path = str(tmp_path / "file")
    code = f"import time\nf=open({path!r},'wb',0)\nwhile True: f.write(b'x'*10**6); time.sleep(.05)"
    writer = start(PYTHON, "-c", code)
    usage = _usage(Processes(only(writer.pid)), 1.0)
    if usage.disk.value == 0:
        pytest.skip("this file system is memory")
    assert usage.disk.value > 2e6
    assert usage.cpu.value < 0.5


def test_a_process_tree_includes_its_children_s_use(start):
    shell = start("sh", "-c", f"{PYTHON} -c 'while True: pass' & wait")
    processes = Processes(only(shell.pid))
    _usage(processes)
    use = processes.tree(shell.pid)
    assert use.cores > BUSY and len(use.pids) == 2
    assert processes.tree(999_999_999).cores == 0


def test_the_watcher_and_system_daemons_do_not_count():
    classify = classifier(own=os.getpid())
    assert classify(os.getpid(), os.getuid(), "python3") is Kind.SYSTEM
    assert classify(os.getpid() + 0, 1000, "python3") is Kind.SYSTEM
    if os.geteuid() == 0:
        assert classify(1, 0, "systemd") is Kind.SYSTEM


@needs.root
def test_a_user_s_process_is_work_and_their_monitor_is_not(start):
    one = start("sleep", "60", user=1000)
    two = start("bash", "-c", "exec -a /home/me/.vscode-server/bin/node sleep 60", user=1000)
    three = start("bash", "-c", "exec -a python sleep 61", user=33)
    for renamed in (two, three):
        wait_until(lambda pid=renamed.pid: _name(pid) == "sleep")
    classify = classifier(own=1)
    assert classify(one.pid, 1000, "sleep") is Kind.WORK
    assert classify(two.pid, 1000, "node") is Kind.ATTENDS
    assert classify(one.pid, 1000, "htop") is Kind.ATTENDS
    assert classify(three.pid, 33, "python") is Kind.SYSTEM
    assert classify(three.pid, 0, "dockerd") is Kind.WORK


@pytest.mark.parametrize(
    "path",
    ["jupyter-lab/train.py", "gpustat-logs/train.py", "jupyter-server.py", "nvitop/main.py"],
)
def test_a_program_is_work_whatever_its_path_contains(start, tmp_path, path):
    script = tmp_path / path
    script.parent.mkdir(exist_ok=True)
    script.write_text("import time; time.sleep(60)")
    assert _kind(start(PYTHON, "-u", str(script))) is Kind.WORK
    assert _kind(start("sh", "-c", f"sleep 60; : {script}")) is Kind.WORK


def test_a_jupyter_command_that_computes_is_work_and_a_server_is_not(start, tmp_path):
    def run(name: str, *words: str) -> Kind:
        script = tmp_path / f"{name}"
        script.write_text("import time; time.sleep(60)")
        return _kind(start(PYTHON, *words, str(script)))

    assert run("jupyter-nbconvert") is Kind.WORK
    assert run("jupyter-execute") is Kind.WORK
    for name in ("jupyter-lab", "jupyter-notebook", "jupyterhub-singleuser", "gpustat", "nvitop"):
        assert run(name, "-X", "dev", "-u") is Kind.ATTENDS


@pytest.mark.parametrize(("module", "kind"), [("gpustat", Kind.ATTENDS), ("jupyter_train", Kind.WORK)])
def test_a_module_is_recognised_by_its_whole_name(start, tmp_path, module, kind):
    (tmp_path / f"{module}.py").write_text("import time; time.sleep(60)")
    assert _kind(start(PYTHON, "-um", module, cwd=tmp_path)) is kind


def _kind(process: subprocess.Popen) -> Kind:
    """The Kind of this command as an ordinary user's process."""
    time.sleep(0.5)  # until a shell has become what it starts
    return classifier(own=1)(process.pid, os.getuid() or 1000, _name(process.pid))


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_typing_at_a_terminal_is_use_and_output_is_not():
    keyboard, terminal = pty.openpty()
    name = "pts/" + os.ttyname(terminal).rsplit("/", 1)[1]
    terminals = Terminals()
    try:

        def quiet() -> float:
            (mine,) = [t for t in terminals.read(mono=time.monotonic(), wall=time.time()) if t.name == name]
            return mine.quiet

        opened = quiet()
        time.sleep(1.1)
        os.write(terminal, b"output\n")
        os.read(keyboard, 100)
        assert quiet() >= opened + 1  # an open session with output
        deadline = time.monotonic() + 12  # the kernel updates atime every 8 s
        while quiet() > 1 and time.monotonic() < deadline:
            os.write(keyboard, b"x\n")
            select.select([terminal], [], [], 1)
            os.read(terminal, 100)
            time.sleep(0.2)
        assert quiet() <= 1
    finally:
        os.close(keyboard)
        os.close(terminal)


def test_an_unchanged_stamp_ages_by_the_monotonic_clock():
    changes = Changes()
    assert changes.quiet("tty", 5, mono=100.0, age=7.0) == 7.0
    assert changes.quiet("tty", 5, mono=160.0, age=-86_000.0) == 67.0
    assert changes.quiet("tty", 6, mono=170.0, age=86_400.0) == 0.0
    assert changes.quiet("future", 1, mono=170.0, age=-50.0) is None


def test_a_download_is_network_use_and_loopback_is_not():
    """Two sockets of this user over this machine's own address (not loopback)."""
    address = own_address()
    if address is None:
        pytest.skip("needs an interface besides loopback")
    network = Network(lambda uid: uid == os.getuid())
    network.look()
    with moved(address, 5_000_000):
        assert network.look() >= 5_000_000
    with moved("127.0.0.1", 5_000_000):
        assert network.look() < 1_000_000


def test_another_user_s_sockets_do_not_count():
    address = own_address()
    if address is None:
        pytest.skip("needs an interface besides loopback")
    network = Network(lambda uid: uid == 54321)
    network.look()
    with moved(address, 1_000_000):
        assert network.look() == 0


def test_traffic_over_ssh_counts_although_root_owns_the_socket():
    """`ssh box tar c data` uses only sshd's socket, which belongs to root."""
    address = own_address()
    if address is None:
        pytest.skip("needs an interface besides loopback")
    with socket.socket() as free:
        free.bind((address, 0))
        port = free.getsockname()[1]
    network = Network(lambda uid: uid == 54321, ssh=port)
    network.look()
    with moved(address, 5_000_000, port):
        assert network.look() >= 5_000_000


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".gpu-box" / "jobs").mkdir(parents=True)
    return tmp_path


def _job(home: Path, name: str, pid: int) -> Path:
    folder = home / ".gpu-box" / "jobs" / name
    folder.mkdir()
    (folder / "pid").write_text(f"{pid}\n")
    (folder / "log").write_text("")
    return folder


def _read_jobs(home: Path, jobs: Jobs):
    return jobs.read([User("me", os.getuid(), str(home))], set(), mono=time.monotonic(), wall=time.time())


def test_a_job_is_read_with_what_it_uses_until_it_exits(start, home):
    loop = start(PYTHON, "-c", "while True: pass")
    folder = _job(home, "train", loop.pid)
    processes = Processes(only(loop.pid))
    jobs = Jobs(processes)
    _usage(processes)
    (job,) = _read_jobs(home, jobs)
    assert job.name == "train" and job.cores > BUSY
    (folder / "exit").write_text("0\n")
    assert _read_jobs(home, jobs) == ()


def test_a_queue_is_read_with_the_jobs_that_wait_and_whether_one_runs(start, home):
    loop = start("sleep", "60")
    folder = _job(home, "first", loop.pid)
    (folder / "started").write_text("2026-11-01T00:00:00Z\n")
    for name in ("first", "next"):
        (folder.parent / name).mkdir(exist_ok=True)
        (folder.parent / name / "turn").write_text("1\n")
    processes = Processes(only(loop.pid))
    jobs = Jobs(processes)
    processes.look()
    assert [(job.name, job.queued) for job in _read_jobs(home, jobs)] == [("first", False), ("next", True)]
    assert jobs.left_alone == []
    (folder / "exit").write_text("0\n")
    assert [job.name for job in _read_jobs(home, jobs)] == ["next"]
    assert [user.name for user in jobs.left_alone] == ["me"]


def test_only_who_could_power_the_machine_off_anyway_may_have_it_stopped_after_a_job(monkeypatch):
    texts = {
        "/etc/group": "users:x:100:guest,ada\nsudo:x:27:bob,ada\n",
        people.CLOUD_SUDOERS: "# by cloud-init\nubuntu ALL=(ALL) NOPASSWD:ALL\n",
    }
    monkeypatch.setattr(people, "read", lambda path, most: texts[path])
    may = {name: people.may_power_off(User(name, 4711, "/")) for name in ("guest", "ada", "ubuntu", "bo")}
    assert may == {"guest": False, "ada": True, "ubuntu": True, "bo": False}


def test_a_stop_that_another_user_plants_is_ignored(start, home, monkeypatch):
    (home / ".gpu-box/jobs/.stop").write_text(f"{this_start()} train ended\n")
    jobs = Jobs(Processes(only(1)))
    _read_jobs(home, jobs)
    assert jobs.then == "train ended"
    monkeypatch.setattr("watch.read.jobs.may_power_off", lambda user: False)
    _read_jobs(home, jobs)
    assert jobs.then == ""


def test_a_job_whose_pid_was_reused_is_over(start, home):
    other = start("sleep", "60")
    folder = _job(home, "old", other.pid)
    os.utime(folder / "pid", (time.time() - 3600, time.time() - 3600))
    processes = Processes(only(other.pid))
    processes.look()
    assert _read_jobs(home, Jobs(processes)) == ()


def test_a_growing_log_is_progress(start, home):
    sleeper = start("sleep", "60")
    folder = _job(home, "waits", sleeper.pid)
    processes = Processes(only(sleeper.pid))
    jobs = Jobs(processes)
    processes.look()
    os.utime(folder / "log", (time.time() - 500, time.time() - 500))
    assert _read_jobs(home, jobs)[0].quiet > 400
    (folder / "log").write_text("step 2\n")
    assert _read_jobs(home, jobs)[0].quiet < 1


def test_growth_of_a_log_between_distant_samples_is_use(start, home):
    sleeper = start("sleep", "60")
    folder = _job(home, "waits", sleeper.pid)
    processes = Processes(only(sleeper.pid))
    jobs = Jobs(processes)
    processes.look()
    os.utime(folder / "log", (time.time() - 90, time.time() - 90))
    state = State()
    for mono in (0.0, 240.0):
        sample = Sample("a", mono, mono, mono, 240.0, job=_read_jobs(home, jobs))
        state = step(state, sample, Policy(interval=240.0))
    assert 89 < state.since < 100 and dict(state.signals)["job"].held


def test_malicious_files_in_a_home_do_no_harm(start, home):
    """A FIFO as pid file would block a naive reader."""
    folder = home / ".gpu-box" / "jobs" / "nasty"
    folder.mkdir()
    os.mkfifo(folder / "pid")
    (home / ".gpu-box" / "jobs" / "file").write_text("")
    processes = Processes(only(1))
    assert _read_jobs(home, Jobs(processes)) == ()


def test_keep_lasts_as_requested_even_if_the_clock_is_set(tmp_path):
    path = str(tmp_path / "keep")
    assert keeping.left([(None, path)], boot="a", mono=0, wall=0) == 0
    keeping.write(path, 3600, boot="a", mono=1000, wall=1e9)
    assert keeping.left([(None, path)], boot="a", mono=1600, wall=1e9 + 86_400) == 3000
    assert keeping.left([(None, path)], boot="a", mono=4700, wall=1e9 - 86_400) == 0
    assert keeping.left([(None, path)], boot="b", mono=5, wall=1e9 + 1800) == 1800
    assert keeping.left([(None, path)], boot="b", mono=5, wall=1e9 - 86_400) == 3600
    Path(path).write_text("for ever")
    assert keeping.left([(None, path)], boot="a", mono=1600, wall=1e9) == 0


def test_without_root_only_one_s_own_terminals_count():
    keyboard, terminal = pty.openpty()
    try:
        found = Terminals(only=54321).read(mono=0, wall=0)
        assert [tty for tty in found if isinstance(tty, Used) and tty.name.startswith("pts/")] == []
    finally:
        os.close(keyboard)
        os.close(terminal)


def test_a_save_in_a_remote_editor_is_use_and_its_server_is_not(home):
    editors = Editors()
    user = User("me", os.getuid(), str(home))

    def read():
        return editors.read([user], mono=time.monotonic(), wall=time.time(), slow=0.0)

    (home / ".vscode-server/data/User/History").mkdir(parents=True)
    assert read() == ()
    history = home / ".vscode-server/data/User/History/-4f2a/entries.json"
    history.parent.mkdir()
    history.write_text("{}")
    os.utime(history, (time.time() - 900, time.time() - 900))
    (editor,) = read()
    assert editor.name == "vscode-server" and editor.quiet > 890
    history.write_text("{ }")
    assert read()[0].quiet < 1


HISTORY = "User/History/-4f2a/entries.json"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *[
            (f".{name}/data/{HISTORY}", name)
            for name in (
                *("vscode-server", "vscode-server-insiders", "cursor-server", "windsurf-server"),
                *("vscodium-server", "positron-server", "trae-server", "kiro-server", "antigravity-server"),
            )
        ],
        (f".local/share/code-server/{HISTORY}", "code-server"),
        (".cache/JetBrains/RemoteDev-PY/LocalHistory/changes.storageData", "RemoteDev-PY"),
        (".cache/JetBrains/PyCharm2026.2/LocalHistory/changes.storageData", "PyCharm2026.2"),
    ],
)
def test_a_save_in_each_editor_is_use(home, path, name):
    editors, user = Editors(), User("me", os.getuid(), str(home))
    file = home / path
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    (editor,) = editors.read([user], mono=time.monotonic(), wall=time.time(), slow=0.0)
    assert editor.name == name and editor.quiet < 5


def test_a_save_is_seen_among_more_than_2000_edited_files(home):
    editors, user = Editors(), User("me", os.getuid(), str(home))
    for number in range(2500):
        history = home / f".vscode-server/data/User/History/{number:05}/entries.json"
        history.parent.mkdir(parents=True)
        history.touch()
        os.utime(history, (1e9, 1e9))
    history.write_text("{}")  # the last one
    (editor,) = editors.read([user], mono=time.monotonic(), wall=time.time(), slow=0.0)
    assert editor.quiet < 5


@pytest.mark.parametrize(
    "name",
    [
        *(".vscode-server-insiders", ".cursor-server", ".windsurf-server", ".positron-server", ".zed_server"),
        *(".trae-server", ".kiro-server", ".antigravity-server", ".vscode-server"),
    ],
)
def test_editor_and_language_servers_are_no_work(start, tmp_path, name):
    script = tmp_path / name / "extensions/ms-python.isort-2026/bundled/tool/lsp_server.py"
    script.parent.mkdir(parents=True)
    script.write_text("import time; time.sleep(60)")
    assert _kind(start(PYTHON, str(script))) is Kind.ATTENDS
    server = start("bash", "-c", f"exec -a {tmp_path}/{name}/bin/abc/node sleep 60")
    assert _kind(server) is Kind.ATTENDS
    mine = tmp_path / "train.py"
    mine.write_text("import time; time.sleep(60)")
    assert _kind(start(PYTHON, str(mine), str(script))) is Kind.WORK


@pytest.mark.parametrize("runner", ["bundled/libs/debugpy", "python_files/vscode_pytest"])
def test_a_program_that_an_editor_debugs_or_tests_is_work(start, tmp_path, runner):
    folder = tmp_path / ".vscode-server/extensions/ms-python-2026" / runner
    folder.mkdir(parents=True)
    (folder / "run.py").write_text("import time; time.sleep(60)")
    assert _kind(start(PYTHON, str(folder / "run.py"), "train.py")) is Kind.WORK
