"""The watcher as a process with its own folder, whose stop command touches a file."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from watcher_box import REMOTE, Box, until

from setup.processes import birth_of
from watch.place import this_start


def test_an_idle_box_stops_and_says_why(box):
    box.start()
    assert box.stopped_within(60)
    why = box.status()["stopped"]
    assert why["layer"] == "watcher" and re.match(r"idle \d+ s", why["reason"])
    assert set(why["signals"]) == {"gpu", "cpu", "disk", "network", "ssh", "jupyter", "job", "keep"}
    assert "last stop, by the watcher: idle" in box.call("why").stdout


def test_the_reason_is_on_the_console(box):
    console = box.root / "console"
    box.environment["GPU_BOX_CONSOLE"] = str(console)
    box.start()
    assert box.stopped_within(60)
    assert re.match(r"gpu-box: stopping this machine: idle \d+ s", console.read_text())

    def recorded() -> list[dict]:
        records = [line for line in console.read_text().splitlines() if line.startswith("gpu-box-stopped ")]
        return [json.loads(record.removeprefix("gpu-box-stopped ")) for record in records]

    # It is repeated until the machine is off: the file has the last one.
    assert until(lambda: box.status()["stopped"] in recorded(), 60)


def test_why_gives_changes_and_signals_as_json(box):
    box.start()
    assert box.stopped_within(60)
    reported = json.loads(box.call("why", "--json").stdout)
    last = [change for change in reported["changes"] if "state" in change][-1]
    assert last["stop"] and last["state"] == "idle" and re.match(r"idle \d+ s", last["reason"])
    assert set(last["signals"]) == {"gpu", "cpu", "disk", "network", "ssh", "jupyter", "job", "keep"}
    assert reported["stopped"]["layer"] == "watcher"


def test_keep_holds_the_idle_stop_off_until_it_ends(box):
    assert "idle stop is off until" in box.call("keep", "1h").stdout
    box.start()
    assert until(box.written, 60)
    assert not box.stopped_within(3)
    assert box.status()["verdict"]["state"] == "active"
    assert 3500 < box.status()["keep"] <= 3600
    box.call("keep", "--off")
    assert box.stopped_within(60)


def test_a_box_stops_after_a_job_and_not_during_it(box):
    job = box.root / ".gpu-box/jobs/train"
    job.mkdir(parents=True)
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"], env=box.environment)
    try:
        (job / "pid").write_text(str(loop.pid))
        (job / "log").write_text("")
        os.utime(job / "log", (1, 1))
        box.start()
        assert until(box.written, 60)
        assert not box.stopped_within(3.5)
        assert "job train" in box.status()["verdict"]["reason"]
    finally:
        loop.kill()
        loop.wait(60)
    (job / "exit").write_text("0")
    assert box.stopped_within(60)
    assert "last activity: job train" in box.status()["stopped"]["reason"]


def test_a_restarted_watcher_continues_the_idle_time(box):
    box.policy(idle_after=3600)
    first = box.start()
    verdict = box.state / "verdict.json"
    assert until(lambda: verdict.exists() and _idle_for(verdict) > 2.5, 60)
    first.send_signal(signal.SIGKILL)
    first.wait(60)
    verdict.unlink()
    box.start()
    assert until(verdict.exists, 60)
    assert _idle_for(verdict) > 2.5, "its idle time was forgotten"


@pytest.mark.parametrize(
    ("off", "carried"), [(60.0, True), (3 * 86_400.0, False)], ids=["reboot", "days off"]
)
def test_idle_time_continues_after_a_reboot_but_not_after_a_forced_stop(box, off, carried):
    """A reset or forced stop records no power-off."""
    from traces.builder import Box as Recorder

    from watch.read.processes import time_since_boot
    from watch.sample import dump

    recorded = Recorder().run(20).samples
    shift = time.time() - off - recorded[-1].wall
    lines = [dump(sample._replace(wall=sample.wall + shift)) for sample in recorded]
    (box.state / "samples.jsonl").write_text("\n".join(lines) + "\n")
    box.environment["GPU_BOX_BORN"] = str(time_since_boot())
    box.policy(idle_after=1800)
    box.start()
    verdict = box.state / "verdict.json"
    assert until(verdict.exists, 60)
    assert (_idle_for(verdict) > 40) == carried


def _idle_for(verdict: Path) -> float:
    return json.loads(verdict.read_text())["verdict"]["idle_for"]


def test_a_changed_policy_takes_effect_at_once(box):
    box.policy(idle_after=3600)
    box.start()
    assert until(box.written, 60)
    assert not box.stopped_within(2.5)
    assert box.call("policy", "idle_after=2s").returncode == 0
    assert box.stopped_within(60)


def test_a_changed_policy_reaches_the_readers_too(box):
    """The slow ones read rarely until the policy changes."""
    box.policy(idle_after=3600, slow=3600)
    box.start()
    assert until(box.written, 60)
    history = box.root / ".vscode-server/data/User/History/-4f2a/entries.json"
    history.parent.mkdir(parents=True)
    history.write_text("{}")
    box.policy(idle_after=3600, slow=0.1)
    assert until(lambda: "saved in" in box.written()["seen"].get("ssh", [""])[0], 60)


def test_the_time_limit_stops_a_busy_box(box):
    box.call("keep", "1h")
    box.policy(deadline=time.time() + 2)
    box.start()
    assert box.stopped_within(60)
    assert "its deadline" in box.status()["stopped"]["reason"]


def test_an_invalid_policy_is_reported_and_the_defaults_apply(box):
    (box.state / "policy.json").write_text("{")
    box.start()
    assert until(box.written, 60)
    assert box.status()["complaints"] and box.status()["policy"]["idle_after"] == 1800
    assert box.call("policy", "idle_after=soon").returncode == 2


ODD_LINES = [
    *("7", "null", "[]", '"text"', "{}", "[" * 100_000, '{"event": 7, "boot": null, "wall": "x"}', "\0"),
    *('{"event": "poweroff", "boot": "a", "wall": 1e300}', "1e999"),
]
ODD_FIELDS = [
    *(
        {"mono": "x"},
        {"wall": None},
        {"wall": 1e300},
        {"up": []},
        {"over": True},
        {"boot": 7},
        {"mono": 10**30},
    ),
    *({"cpu": {"value": "1", "who": ""}}, {"cpu": []}, {"disk": {"value": 1.0, "who": None}}, {"keep": "3"}),
    *({"gpu": 7}, {"gpu": [{"gpu": "0", "percent": "9", "compute": 1}]}, {"gpu": [None]}, {"ssh": [[1]]}),
    *(
        {"jupyter": {"kernels": 1, "documents": 1}},
        {"jupyter": {"kernels": [], "documents": [], "silent": [1]}},
    ),
    *({"job": [{"name": "a", "cores": "x"}]}, {"ssh": {"unknown": 7}}, {"ssh": [{"name": 1, "quiet": "x"}]}),
    {"extra": 1},
]


def test_a_watcher_starts_with_any_samples(box):
    from traces.builder import Box as Recorder

    from watch.sample import dump

    good = json.loads(dump(Recorder().run(0.25).samples[0]))
    lines = [*ODD_LINES, *(json.dumps({**good, **odd}) for odd in ODD_FIELDS), json.dumps(good)]
    (box.state / "samples.jsonl").write_text("\n".join(lines) + "\n")
    box.start()
    assert box.stopped_within(60)


@pytest.mark.parametrize("line", [*ODD_LINES, *ODD_FIELDS], ids=lambda line: str(line)[:40])
def test_an_invalid_line_is_skipped(line):
    from traces.builder import Box as Recorder

    from watch.sample import dump, parse

    good = json.loads(dump(Recorder().run(0.25).samples[0]))
    with pytest.raises(ValueError):
        parse(line if isinstance(line, str) else json.dumps({**good, **line}))


ODD_POLICIES = [
    *("null", "7", "[" * 100_000, '{"warn": ' + "[" * 900 + "]" * 900 + "}"),
    json.dumps({"stop_at": 7, "tz": "a\0b", "window": 0, "interval": None, "deadline": 1e300, "slow": {}}),
    json.dumps({"idle_after": 10**400, "warn": 5, "budget_marks": [[1]], "max_hours": [], "stop_command": 5}),
]


@pytest.mark.parametrize("text", ODD_POLICIES, ids=range(len(ODD_POLICIES)))
def test_a_watcher_starts_with_any_policy(box, text):
    (box.state / "policy.json").write_text(text)
    watcher = box.start()
    assert until(lambda: box.written() or watcher.poll() is not None, 60)
    shown = box.status()
    assert watcher.poll() is None and shown["complaints"]
    assert shown["policy"]["idle_after"] == 1800 and shown["policy"]["window"] == 60


def test_a_failed_power_off_is_retried_and_shown(box):
    box.shell.write_text("#!/bin/sh\nexit 1\n")
    box.start()
    assert until(lambda: any("failed" in text for text in box.written().get("complaints", [])), 60)
    assert any("failed" in text for text in box.status()["complaints"])
    box.shell.write_text(f"#!/bin/sh\necho off >>{box.off}\n")
    assert box.stopped_within(60)


def test_a_full_disk_costs_the_log_and_not_the_stop(box):
    """Appending to a folder fails as on a full disk; the watcher continues."""
    (box.state / "samples.jsonl").mkdir()
    box.start()
    assert box.stopped_within(60)


def test_tmux_shows_a_warning_before_the_stop(box):
    record = box.root / "messages"
    programs = box.root / "bin"
    programs.mkdir()
    for name in ("tmux", "wall"):
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{record}\n')
        (programs / name).chmod(0o755)
    folder = box.root / f"tmux-{os.getuid()}"
    folder.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "default"))
    box.environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    box.start()
    assert box.stopped_within(60)
    lines = record.read_text().splitlines()
    reported = sorted(line.split()[0] for line in lines)
    assert reported == ["tmux", "wall"], "one warning for each lead, not one per sample"
    assert all("gpu-box keep 2h" in line and "stops in 1 s" in line for line in lines)


def test_status_without_a_watcher_says_that_nothing_is_armed(box):
    values = box.status()
    assert values["verdict"] is None and values["stopped"] is None
    assert not any(layer["armed"] for layer in values["layers"].values())
    assert box.call("healthy").returncode == 1
    box.policy(idle_after=3600)
    box.start()
    assert until(lambda: box.call("healthy").returncode == 0, 60)
    assert box.status()["layers"]["watcher"]["armed"]


def test_status_costs_little_more_than_the_start_of_a_python(box):
    box.policy(idle_after=3600)
    box.start()
    assert until(box.written, 60)
    bare = _cpu_seconds(lambda: subprocess.run([sys.executable, "-s", "-c", "pass"], check=True))
    assert _cpu_seconds(box.status) < 10 * bare


def _cpu_seconds(call) -> float:
    """The least of five runs: CPU seconds of the processes that `call` starts and waits for."""
    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        call()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(took)


def test_installing_without_systemd_names_what_is_not_armed(box):
    box.policy(idle_after=3600)
    said = box.call("install", "idle_after=2h")
    assert said.returncode == 0
    assert (
        "watcher: armed" in said.stdout
        and "guard: not armed, because this machine has no systemd" in said.stdout
    )
    try:
        assert until(lambda: _installed(box), 60)
        assert json.loads((box.state / "policy.json").read_text())["idle_after"] == "2h"
        assert "started" not in box.call("install").stdout, "it runs already"
    finally:
        _end_installed(box)


def test_a_newer_version_replaces_the_running_watcher(box):
    box.policy(idle_after=3600)
    folder = box.root / "remote"
    shutil.copytree(REMOTE / "watch", folder / "watch", ignore=shutil.ignore_patterns("__pycache__"))
    box.environment["PYTHONPATH"] = str(folder)
    try:
        box.call("install")
        assert until(lambda: _installed(box), 60)
        older = _installed(box)
        with (folder / "watch/judge.py").open("a") as file:
            file.write("# newer\n")
        assert "started" in box.call("install").stdout
        assert until(lambda: _installed(box) not in (0, older), 60)
        assert not Path(f"/proc/{older}").exists() or _is_over(older)
    finally:
        _end_installed(box)


def _installed(box: Box) -> int:
    """The pid that `install` started, or 0 before it is written."""
    path = box.state / "pid"
    return int(path.read_text().split()[0]) if path.exists() else 0


def _end_installed(box: Box) -> None:
    if pid := _installed(box):
        os.kill(pid, signal.SIGKILL)


def _is_over(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_replay_prints_when_and_why_a_recorded_box_stops(box, tmp_path):
    from traces.builder import Box as Recorder
    from traces.builder import cpu

    from watch.sample import dump

    trace = tmp_path / "trace.jsonl"
    trace.write_text("\n".join(dump(s) for s in Recorder().run(20, cpu=cpu(1.0)).run(60).samples))
    shown = box.call("replay", str(trace), "--policy", "idle_after=10m").stdout
    assert "active stops in 10 min       cpu (python) 1.00 cores" in shown
    assert "STOP" in shown and "idle 10 min; last activity: cpu (python)" in shown
    assert box.call("replay", str(trace), "--policy", "idle_after").returncode == 2


def test_replay_and_why_show_times_in_the_policy_s_time_zone(box, tmp_path):
    from traces.builder import Box as Recorder

    from watch.sample import dump

    recorded = "\n".join(dump(s) for s in Recorder().run(2).samples) + "\n"  # from 2026-01-01 00:00 UTC
    trace = tmp_path / "trace.jsonl"
    trace.write_text(recorded)
    assert "2026-01-01 09:00" in box.call("replay", str(trace), "--policy", "tz=Asia/Tokyo").stdout
    box.policy(tz="Asia/Tokyo")
    (box.state / "samples.jsonl").write_text(recorded)
    assert "2026-01-01 09:00" in box.call("why").stdout


def test_once_prints_a_valid_sample(box):
    from watch.sample import Sample, parse

    assert isinstance(parse(box.call("once").stdout), Sample)


def test_an_unknown_command_exits_with_2(box):
    assert box.call("dance").returncode == 2
    assert box.call("keep").returncode == 2
    assert box.call("keep", "31d").returncode == 2
    assert box.call("--help").returncode == 0


def test_a_second_sigterm_ends_it_quietly(box):
    box.policy(idle_after=3600)
    watcher = box.start()
    assert until(box.written, 60)
    watcher.terminate()
    time.sleep(0.02)
    watcher.terminate()
    assert watcher.wait(60) == 0


def test_the_machine_stops_when_the_last_job_has_ended_that_asked_for_it(box):
    """Long before it is idle, without a laptop; `why` names the job."""
    box.policy(idle_after=3600)
    root = box.root / ".gpu-box/jobs"
    root.mkdir(parents=True)
    (root / ".stop").write_text("another-start train ended with exit status 9\n")
    box.start()
    assert not box.stopped_within(2), "asked for before the machine was off"
    reason = "train ended with exit status 0, the last job (--then stop)"
    (root / ".stop").write_text(f"{this_start()} {reason}\n")
    assert box.stopped_within(60)
    assert json.loads(box.call("why", "--json").stdout)["stopped"]["reason"] == reason
    assert json.loads((box.state / "verdict.json").read_text())["verdict"]["cause"] == "then"


def test_a_queue_that_waits_goes_on_without_a_laptop_and_the_machine_stops_after_it(box):
    """As after a reboot: nothing but the watcher runs."""
    box.policy(idle_after=3600)
    (box.root / ".gpu-box/remote").parent.mkdir()
    (box.root / ".gpu-box/remote").symlink_to(REMOTE)
    root = box.root / ".gpu-box/jobs"
    for number, name in enumerate(("b", "a")):
        (root / name).mkdir(parents=True)
        files = {"command": f"echo {name} >>order", "cwd": box.root, "turn": number, "log": ""}
        for what, text in files.items():
            (root / name / what).write_text(f"{text}\n")
    (root / ".then").write_text("another-start a\n")
    box.start()
    assert box.stopped_within(60)
    assert (box.root / "order").read_text() == "b\na\n"
    assert box.status()["stopped"]["reason"] == "a ended with exit status 0, the last job (--then stop)"


def test_jobs_can_save_before_the_machine_stops(box, start):
    """Also at a limit; a job that does not end delays the stop by half a minute at most."""
    saved = box.root / "saved"
    code = f"trap 'sleep 1; echo >{saved}; exit' TERM; sleep 60 & wait"
    process = start("sh", "-c", code)
    job = box.root / ".gpu-box/jobs/train"
    job.mkdir(parents=True)
    (box.root / ".gpu-box/remote").symlink_to(REMOTE)
    files = {"command": "train", "pid": process.pid, "birth": birth_of(process.pid), "log": ""}
    for name, text in files.items():
        (job / name).write_text(f"{text}\n")
    box.start()
    assert box.stopped_within(60)
    assert saved.exists() and saved.stat().st_mtime_ns < box.off.stat().st_mtime_ns
    assert "so that the job can save" in (job / "log").read_text()
