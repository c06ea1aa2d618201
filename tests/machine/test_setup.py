from __future__ import annotations

import http.client
import json
import os
import shlex
import shutil
import socket
import stat
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from testbed.cloud import wait_until
from testbed.openssh import OpenSshMachine, free_port

from gpu_box.errors import MachineError, MachineUnreachable, StepFailed
from gpu_box.machine import jobs, setup
from gpu_box.machine.files import upload_remote
from gpu_box.machine.setup import Desired
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.machine import Host
from gpu_box.model.policy import WatchPolicy
from tests.following import follow_lines
from tests.paths import REMOTE

from .. import needs
from ..faults.apart import process
from .conftest import Recorder, copy_of_remote, host_of, needs_bash

STEPS = {
    "disk",
    "driver",
    "tmux",
    "python",
    "packages",
    "jupyter",
    "code",
    "kaggle",
    "notify",
    "env",
    "jupyterlab",
    "watch",
    "shell",
    "scratch",
}


@pytest.fixture(scope="module")
def desired() -> Desired:
    return Desired(remote=REMOTE, jupyter_port=free_port(), policy=WatchPolicy(idle_after=7200))


@pytest.fixture(scope="module")
def ready(
    shared_machine: OpenSshMachine, desired: Desired
) -> Iterator[tuple[OpenSshMachine, Recorder, setup.MachineState]]:
    """A machine that was set up once, from nothing, for all tests of this file."""
    report = Recorder()
    with connect(host_of(shared_machine)) as connection:
        fresh = setup.check(connection, desired)
        assert fresh.needs_work and not fresh.steps and not fresh.mirror_current
        state = setup.apply(connection, fresh, desired, report)
    yield shared_machine, report, state


@pytest.fixture
def bare_remote(tmp_path: Path) -> Path:
    """remote/ whose `python` step installs nothing: for tests of the machinery around the steps."""
    copy = copy_of_remote(tmp_path, "slow")
    write_slow_step(copy, "session.run(['sleep', '0.5'])")
    return copy


def write_slow_step(remote: Path, body: str) -> None:
    (remote / "setup" / "steps" / "slow.py").write_text(
        "from setup import records\n"
        "from setup.step import Step, done, needed\n"
        "def check(desired):\n"
        "    return done('slow is done') if records.read('slow') else needed('slow is missing')\n"
        "def apply(desired, session):\n"
        "    session.say('working')\n"
        f"    {body}\n"
        "    records.write('slow', 'x', 'slow is done')\n"
        "    return done('slow is done')\n"
        "STEP = Step('slow', check, apply)\n"
    )
    upload_remote.fingerprint.cache_clear()


def test_a_new_machine_is_set_up_completely(
    ready: tuple[OpenSshMachine, Recorder, setup.MachineState],
) -> None:
    machine, report, state = ready
    assert not state.needs_work
    assert {step.name for step in state.steps} == STEPS
    assert set(report.of("done")) == STEPS - {"disk", "kaggle", "notify", "env"} | {"upload"}
    assert not report.of("failed")
    assert state.jupyter.answering
    assert state.gpu or state.step("driver").line == "no NVIDIA card: CPU only"  # type: ignore[union-attr]


def test_progress_is_shown_while_a_step_works(
    ready: tuple[OpenSshMachine, Recorder, setup.MachineState],
) -> None:
    lines = [line for event, step, line in ready[1].events if (event, step) == ("update", "packages")]
    assert any(line.startswith("installing packages") for line in lines)
    assert any(line.startswith("Installed") for line in lines)
    assert not any(line.startswith(" +") for line in lines)


def test_the_second_time_is_a_no_op_in_one_round_trip(
    ready: tuple[OpenSshMachine, Recorder, setup.MachineState],
    desired: Desired,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with connect(host_of(ready[0])) as connection:
        commands: list[str] = []
        run = connection.run
        monkeypatch.setattr(connection, "run", lambda *a, **k: commands.append(a[0]) or run(*a, **k))
        before = snapshot(ready[0].home)
        state = setup.check(connection, desired)
    assert len(commands) == 1
    assert not state.needs_work
    assert snapshot(ready[0].home) == before


def snapshot(home: Path) -> dict[str, float]:
    ours = (
        p
        for p in (home / ".gpu-box").rglob("*")
        if not {"venv", "jupyter-venv", "uv", "__pycache__", "watch"} & set(p.parts)
    )
    return {str(path): path.stat().st_mtime for path in ours if path.name != "log"}


def test_applying_again_changes_nothing(
    ready: tuple[OpenSshMachine, Recorder, setup.MachineState], desired: Desired, report: Recorder
) -> None:
    with connect(host_of(ready[0])) as connection:
        pid = (ready[0].home / ".gpu-box/jupyter/pid").read_text()
        setup.apply(connection, ready[2], desired, report)
    assert "upload" not in report.of("start")
    assert (ready[0].home / ".gpu-box/jupyter/pid").read_text() == pid


def test_the_box_has_the_cpu_build_of_torch_and_finds_our_packages(
    ready: tuple[OpenSshMachine, Recorder, setup.MachineState],
) -> None:
    with connect(host_of(ready[0])) as connection:
        code = "import torch, jobs; print(torch.version.cuda, jobs.__file__)"
        printed = connection.run(f"~/.gpu-box/venv/bin/python -c '{code}'").stdout.split()
    assert printed == ["None", str(ready[0].home / ".gpu-box/remote/jobs/__init__.py")]


@needs_bash
def test_what_pip_installs_in_a_shell_is_there_for_jobs_and_notebooks(
    ready: tuple[OpenSshMachine, Recorder, setup.MachineState], tmp_path: Path
) -> None:
    machine = ready[0]
    wheel = tmp_path / "lesson_extra-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("lesson_extra.py", "NAME = 'extra'\n")
        file.writestr(
            "lesson_extra-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: lesson_extra\nVersion: 1.0\n"
        )
        file.writestr(
            "lesson_extra-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        file.writestr("lesson_extra-1.0.dist-info/RECORD", "")
    code = "import lesson_extra, torch, vgg16, sys; print(lesson_extra.NAME, sys.prefix)"
    found: list[str] = []
    with connect(host_of(machine)) as connection:
        shell = connection.run(f"pip install --quiet --no-index {wheel} && python -c '{code}'").stdout
        login = connection.run(f"bash -lic \"python3 -c '{code}'\"").stdout
        jobs.start(connection, "look", f"python -c '{code}'", cwd="~")
        found.append(connection.run(kernel_runs(code), timeout_s=60).stdout)
    follow_lines(host_of(machine), "look", lambda line: found.append(line + "\n"))
    assert {shell, login, *found} == {f"extra {machine.home}/.gpu-box/venv\n"}


def kernel_runs(code: str) -> str:
    """A cell in a kernel as JupyterLab starts it."""
    script = (
        "from jupyter_client.manager import start_new_kernel; "
        "manager, client = start_new_kernel(); "
        f"client.execute_interactive({code!r}); client.stop_channels(); manager.shutdown_kernel()"
    )
    return f"~/.gpu-box/venv/bin/python -c {shlex.quote(script)}"


@needs.programs("ss")
def test_jupyter_is_on_loopback_behind_a_token_that_shows_nowhere(
    ready: tuple[OpenSshMachine, Recorder, setup.MachineState],
) -> None:
    folder = ready[0].home / ".gpu-box" / "jupyter"
    token, port = (folder / "token").read_text().strip(), ready[2].jupyter.port
    assert port
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
    assert get(port, "/api/status", token) == 200
    assert get(port, "/api/status", "wrong") == 403
    assert get(port, "/lab", None) == 302  # to the login page
    listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    assert [row.split()[3] for row in listening.splitlines() if f":{port} " in row] == [f"127.0.0.1:{port}"]
    arguments = subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True, check=True).stdout
    assert "jupyter-lab" in arguments and token not in arguments
    environments = b"".join(read(path) for path in Path("/proc").glob("[0-9]*/environ"))
    assert token.encode() not in environments
    for log in [folder / "log", *(ready[0].home / ".gpu-box/logs").iterdir()]:
        assert token not in log.read_text(), log


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def get(port: int, path: str, token: str | None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Authorization": f"token {token}"} if token else {})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_a_jupyter_that_died_is_started_again_elsewhere_if_its_port_was_taken(
    ready: tuple[OpenSshMachine, Recorder, setup.MachineState], desired: Desired, report: Recorder
) -> None:
    with connect(host_of(ready[0])) as connection:
        connection.run("p=$(cat ~/.gpu-box/jupyter/pid); kill -9 $p; while kill -0 $p; do sleep 0.05; done")
        with socket.create_server(("127.0.0.1", desired.jupyter_port)):
            state = setup.check(connection, desired)
            assert [s.name for s in state.steps if s.status == "needed"] == ["jupyter"]
            assert not state.jupyter.answering
            with another_process_faster(ready[0].home / ".gpu-box/jupyter/port") as taken:
                state = setup.apply(connection, state, desired, report)
        assert state.jupyter.answering
        assert len(taken) == 1 and desired.jupyter_port not in taken
        assert state.jupyter.port not in (None, desired.jupyter_port, *taken)
        assert not setup.check(connection, desired).needs_work


@contextmanager
def another_process_faster(port_file: Path) -> Iterator[list[int]]:
    """Takes the next port that is written there before JupyterLab, which takes a second to start, does."""
    before, taken, over = port_file.stat().st_ino, list[int](), threading.Event()

    def watch() -> None:
        while port_file.stat().st_ino == before:
            if over.wait(0.005):
                return
        port = int(port_file.read_text())
        with socket.create_server(("127.0.0.1", port)):
            taken.append(port)
            over.wait()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield taken
    finally:
        over.set()
        thread.join()


def test_an_edited_notebook_is_the_users(
    machine: OpenSshMachine, bare_remote: Path, report: Recorder
) -> None:
    lesson = bare_remote / "notebooks" / "lesson1.ipynb"
    lesson.parent.mkdir(exist_ok=True)
    lesson.write_text("first")
    theirs = machine.home / "work/notebooks/lesson1.ipynb"

    def bring_up() -> str:
        upload_remote.fingerprint.cache_clear()
        desired = Desired(remote=bare_remote)
        with connect(host_of(machine)) as connection:
            setup.apply(connection, setup.check(connection, desired), desired, report)
        return theirs.read_text()

    assert bring_up() == "first"
    lesson.write_text("second")
    assert bring_up() == "second"
    theirs.write_text("edited")
    lesson.write_text("third")
    assert bring_up() == "edited"


def test_a_failed_step_is_named_with_its_last_lines_and_its_log_and_resumes(
    machine: OpenSshMachine, bare_remote: Path, report: Recorder
) -> None:
    write_slow_step(bare_remote, "session.run(['sh', '-c', 'echo first; echo the cause; exit 7'])")
    desired = Desired(remote=bare_remote)
    with connect(host_of(machine)) as connection:
        with pytest.raises(StepFailed) as failed:
            setup.apply(connection, setup.check(connection, desired), desired, report)
        assert "set-up step slow failed" in str(failed.value)
        assert "exit status 7: the cause" in str(failed.value)
        assert "~/.gpu-box/logs/slow.log" in str(failed.value)
        assert "it continues" in str(failed.value)
        assert "the cause" in (machine.home / ".gpu-box/logs/slow.log").read_text()
        assert report.of("failed") == ["slow"]
        assert "code" in report.of("done")  # the others went on
        write_slow_step(bare_remote, "pass")
        state = setup.apply(connection, setup.check(connection, desired), desired, report)
    assert not state.needs_work


def test_a_cut_connection_resumes(machine: OpenSshMachine, bare_remote: Path, report: Recorder) -> None:
    write_slow_step(bare_remote, "session.run(['sleep', '1.5'])")
    desired = Desired(remote=bare_remote)
    with connect(host_of(machine)) as connection:
        state = setup.check(connection, desired)
        cutter = threading.Timer(0.8, machine.cut_connections)
        cutter.start()
        with pytest.raises(MachineUnreachable, match="to continue"):
            setup.apply(connection, state, desired, report)
        cutter.join()
    with connect(host_of(machine)) as connection:
        again = Recorder()
        state = setup.apply(connection, setup.check(connection, desired), desired, again)
    assert not state.needs_work


def test_two_at_once_do_not_apply_together(
    machine: OpenSshMachine, bare_remote: Path, report: Recorder
) -> None:
    write_slow_step(bare_remote, "session.run(['sh', '-c', 'mkdir ~/alone && sleep 1.2 && rmdir ~/alone'])")
    desired = Desired(remote=bare_remote)
    reports = [Recorder(), Recorder()]

    def bring_up(mine: Recorder) -> None:
        with connect(host_of(machine)) as connection:
            setup.apply(connection, setup.check(connection, desired), desired, mine)

    threads = [threading.Thread(target=bring_up, args=(mine,)) for mine in reports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line for mine in reports for _, _, line in mine.events]
    assert any("another `gpu-box up` is setting this box up: following it" in line for line in lines)
    assert not any(mine.of("failed") for mine in reports)


def set_up_alone(host: Host, remote: Path, home: Path) -> None:
    os.environ["HOME"] = str(home)
    desired = Desired(remote=remote)
    with connect(host) as connection:
        setup.apply(connection, setup.check(connection, desired), desired, Recorder())


def test_up_after_a_killed_one_follows_its_setup_at_once(
    machine: OpenSshMachine, bare_remote: Path, report: Recorder, home: Path
) -> None:
    body = "session.run(['sh', '-c', 'echo >> ~/begun; until [ -e ~/end ]; do echo part; sleep 0.2; done'])"
    write_slow_step(bare_remote, body)
    killed = process(set_up_alone, host_of(machine), bare_remote, home)
    killed.start()
    wait_until((machine.home / "begun").exists)
    killed.terminate()
    killed.join()

    class Ends(Recorder):
        """Lets the step end once it is followed."""

        def update(self, step: str, line: str) -> None:
            super().update(step, line)
            if (step, line) == ("slow", "part"):
                (machine.home / "end").touch()

    desired, again = Desired(remote=bare_remote), Ends()
    with connect(host_of(machine)) as connection:
        state = setup.apply(connection, setup.check(connection, desired), desired, again)
    assert not state.needs_work
    assert (machine.home / "begun").read_text() == "\n"  # applied once
    assert {"setup", "slow", "code"} <= set(again.of("done"))
    assert not again.of("failed")


def test_the_events_of_a_setup_fit_on_a_full_disk(machine: OpenSshMachine, bare_remote: Path) -> None:
    write_slow_step(
        bare_remote, "from setup import session as s; s._records.append(os.open('/dev/full', os.O_WRONLY))"
    )
    slow = bare_remote / "setup" / "steps" / "slow.py"
    slow.write_text("import os\n" + slow.read_text())
    upload_remote.fingerprint.cache_clear()
    desired = Desired(remote=bare_remote)
    with connect(host_of(machine)) as connection:
        assert not setup.apply(connection, setup.check(connection, desired), desired, Recorder()).needs_work


def test_an_interrupted_upload_leaves_the_old_copy(machine: OpenSshMachine, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "a.py").write_text("old")
    with connect(host_of(machine)) as connection:
        upload_remote.upload(connection, old)
        (machine.home / ".gpu-box/remotes/torn.new.1").mkdir()
        copy = machine.home / ".gpu-box/remote"
        with pytest.raises(MachineError):
            connection.run(f"sh -c '{upload_remote._UNPACK}' sh torn", stdin=b"not an archive".ljust(1024))
        assert (copy / "a.py").read_text() == "old"
        (old / "a.py").write_text("new")
        upload_remote.fingerprint.cache_clear()
        upload_remote.upload(connection, old)
        upload_remote.upload(connection, old)
    assert (copy / "a.py").read_text() == "new"


def test_output_at_login_does_no_harm(machine: OpenSshMachine, bare_remote: Path, report: Recorder) -> None:
    (machine.home / ".bashrc").write_text("echo welcome\n")
    desired = Desired(remote=bare_remote)
    with connect(host_of(machine)) as connection:
        assert not setup.apply(connection, setup.check(connection, desired), desired, report).needs_work


def test_a_machine_without_python_is_one_clear_line(make_machine, bare_remote: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    bare = make_machine(path=str(only(tmp_path / "bin", "sh", "bash", "tar", "mkdir")))
    with connect(host_of(bare)) as connection, pytest.raises(MachineError, match="no python3 on the box"):
        setup.check(connection, Desired(remote=bare_remote))


def only(folder: Path, *programs: str) -> Path:
    """A PATH with these programs alone."""
    folder.mkdir()
    for program in programs:
        (folder / program).symlink_to(shutil.which(program) or program)
    return folder


def test_jupyter_runs_without_tmux(
    ready: tuple[OpenSshMachine, Recorder, setup.MachineState],
    desired: Desired,
    tmp_path: Path,
    report: Recorder,
) -> None:
    """Started in a session of its own; the login's PATH has everything but tmux."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for directory in ("/bin", "/usr/bin", str(Path(shutil.which("python3") or "").parent)):
        for program in Path(directory).iterdir():
            if program.name != "tmux" and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    with connect(host_of(ready[0])) as connection:
        connection.run("kill $(cat ~/.gpu-box/jupyter/pid); sleep 0.5", check=False)
        events = connection.run(
            f"cd ~/.gpu-box/remote && PATH={folder} exec python3 -m setup apply",
            stdin=replace(desired, jupyter_port=free_port()).to_json().encode(),
        ).stdout
    reported = {e["step"]: e for e in map(json.loads, events.splitlines())}
    assert reported["jupyter"]["event"] == "done"
    assert "tmux is missing" in reported["tmux"]["line"]


def test_the_watcher_watches_by_the_configs_policy_and_cannot_stop_a_host_that_it_shares(
    ready: tuple[OpenSshMachine, Recorder, setup.MachineState], desired: Desired, report: Recorder
) -> None:
    machine, _, state = ready
    if not (REMOTE / "watch" / "__main__.py").exists():
        pytest.skip("no watcher yet")
    assert state.watch and next(each for each in state.watch.layers if each.name == "watcher").armed
    policy = json.loads((machine.home / ".gpu-box/watch/policy.json").read_text())
    assert policy["idle_after"] == 7200
    assert policy["stop_command"] == "true"
    other = replace(desired, policy=WatchPolicy(idle_after=3600))
    with connect(host_of(machine)) as connection:
        state = setup.check(connection, other)
        assert "watch" in [step.name for step in state.steps if step.status == "needed"]
        assert not setup.apply(connection, state, other, report).needs_work
    assert json.loads((machine.home / ".gpu-box/watch/policy.json").read_text())["idle_after"] == 3600


def test_a_missing_package_is_named_and_the_environment_stays(
    ready: tuple[OpenSshMachine, Recorder, setup.MachineState], desired: Desired, report: Recorder
) -> None:
    wrong = replace(desired, packages=("/nowhere/thing-1.0-py3-none-any.whl",))
    with connect(host_of(ready[0])) as connection:
        with pytest.raises(StepFailed, match=r"set-up step packages failed: .*nowhere/thing"):
            setup.apply(connection, setup.check(connection, wrong), wrong, report)
        assert "jupyter" not in report.of("failed")  # it waits for packages, and is not to blame
        connection.run("~/.gpu-box/venv/bin/python -c 'import numpy'")
        setup.apply(connection, setup.check(connection, desired), desired, report)
        assert not setup.check(connection, desired).needs_work
