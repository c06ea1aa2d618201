"""Reading GPUs with a fake nvidia-smi that answers, hangs or fails as the real one does."""

from __future__ import annotations

import json
import os
import sys
import time
import tomllib
from pathlib import Path

import pytest
from traces.decide import decide

from watch import panel
from watch.policy import Policy
from watch.read import command
from watch.read.gpu import read_gpus
from watch.sample import Gpu, Sample, Unknown

STAND_IN = f"""#!{sys.executable} -S
import json, os, sys, time
state = json.load(open(os.path.join(os.path.dirname(__file__), "gpus.json")))
time.sleep(state.get("hangs", 0))
if state.get("fails"):
    sys.exit(9)
asked = "pmon" if sys.argv[1] == "pmon" else sys.argv[1][8:].partition("=")[0]
if asked in state.get("answers", {{}}):
    text, status = state["answers"][asked]
    sys.stdout.write(text)
    sys.exit(status)
if asked == "pmon":
    if state.get("pmon") is None:
        sys.exit(2)
    print("# gpu         pid   type     sm    mem    enc    dec    command")
    print("# Idx           #    C/G      %      %      %      %    name")
    for line in state["pmon"]:
        print(line)
elif asked == "gpu":
    for index, percent in enumerate(state["percent"]):
        print(f"{{index}}, {{percent}}, GPU-{{index}}")
else:
    sys.exit(2)
"""
FACTS = tomllib.loads((Path(__file__).parent / "nvidia_smi.toml").read_text())["case"]


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    monkeypatch.setenv("TEST_DEVICES", str(tmp_path / "dev"))

    def state(**values) -> None:
        (tmp_path / "gpus.json").write_text(json.dumps(values))

    return state


def _read(seconds: float = 5.0):
    return read_gpus(seconds=seconds, busy_from=Policy().gpu_percent, devices=os.environ["TEST_DEVICES"])


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact["name"])
def test_what_nvidia_smi_answers_on_real_machines_is_read_right(gpus, fact):
    texts = [fact.get(key, "").lstrip("\n") for key in ("query", "pmon", "apps")]
    status = fact.get("exit", [0, 0, 0])
    gpus(answers=dict(zip(("gpu", "pmon", "compute-apps"), zip(texts, status, strict=True), strict=True)))
    found = _read()
    if fact.get("unknown"):
        assert isinstance(found, Unknown)
        return
    computes = {int(gpu): tuple(pids) for gpu, pids in fact.get("computes", {}).items()}
    assert {gpu.gpu: gpu.pids for gpu in found if gpu.compute} == computes
    rows = [line.split(",") for line in texts[0].splitlines() if line.count(",") == 2]
    assert [str(gpu.gpu) for gpu in found] == [row[0] for row in rows]


def test_the_live_panel_shows_the_cards_beside_a_warning_and_a_lost_one(gpus):
    rows = "WARNING: infoROM is corrupted at gpu 0000:01:00.0\nNVIDIA L4, 97, 10, 100, 60\n"
    gpus(
        answers={
            "gpu": (rows + "NVIDIA L4, [GPU is lost], [GPU is lost], [GPU is lost], [GPU is lost]\n", 14)
        }
    )
    assert [(gpu["name"], gpu["percent"]) for gpu in panel._gpus()] == [("NVIDIA L4", 97.0)]


def test_there_are_twenty_real_answers_each_with_its_source():
    assert len(FACTS) >= 20 and all(fact["source"] for fact in FACTS)


def test_idle_gpus_cost_one_call_and_show_their_utilisation(gpus):
    gpus(percent=[0, 0])
    assert _read() == (Gpu(0, 0.0, False), Gpu(1, 0.0, False))


def test_a_compute_process_counts_from_one_percent_on(gpus):
    gpus(percent=[1], pmon=["    0      4711     C      1      0      -      -    python"])
    assert _read() == (Gpu(0, 1.0, True, (4711,)),)
    assert _verdict(_read()) == "active"
    gpus(percent=[1], pmon=["    0      900     G      1      0      -      -    Xorg"])
    assert _verdict(_read()) != "active"


def _verdict(reading) -> str:
    sample = Sample(boot="b", mono=100.0, wall=1e9, up=1000.0, over=15.0, gpu=reading)
    return decide([sample], Policy()).state


def test_a_busy_gpu_names_the_processes_that_compute_on_it(gpus):
    gpus(percent=[97, 0], pmon=["    0      4711     C     95     40      -      -    python"])
    assert _read() == (Gpu(0, 97.0, True, (4711,)), Gpu(1, 0.0, False))


def test_a_desktop_that_draws_is_not_computing(gpus):
    gpus(percent=[30], pmon=["    0      900     G     28     10      -      -    Xorg"])
    assert _read() == (Gpu(0, 30.0, False),)


def test_a_process_that_only_holds_memory_is_not_computing(gpus):
    gpus(percent=[30], pmon=["0 900 G 28 10 - - Xorg", "0 4711 C 0 0 - - python"])
    assert _read() == (Gpu(0, 30.0, False),)


def test_no_process_on_a_busy_gpu_is_not_computing(gpus):
    gpus(percent=[30], pmon=["    0        -     -      -      -      -      -    -"])
    assert _read() == (Gpu(0, 30.0, False),)


def test_where_pmon_is_not_supported_a_busy_gpu_counts(gpus):
    gpus(percent=[88])
    assert _read() == (Gpu(0, 88.0, True),)


def test_a_gpu_without_figures_is_neither_idle_nor_busy(gpus):
    gpus(percent=["[N/A]"], pmon=["0 4711 C - - - - python"])
    assert _read() == (Gpu(0, None, True, (4711,)),)


def test_a_hanging_nvidia_smi_is_unknown_in_bounded_time(gpus):
    gpus(percent=[97], hangs=200)
    begin = time.monotonic()
    assert _read(seconds=0.5) == Unknown("nvidia-smi hangs (0 s)") or isinstance(_read(0.5), Unknown)
    assert time.monotonic() - begin < 30


def test_it_recovers_with_nvidia_smi(gpus):
    gpus(percent=[97], hangs=200)
    assert isinstance(_read(seconds=0.3), Unknown)
    gpus(percent=[0])
    assert _read() == (Gpu(0, 0.0, False),)


def test_a_failing_nvidia_smi_is_unknown(gpus):
    gpus(percent=[97], fails=True)
    assert isinstance(_read(), Unknown)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are looked for in /proc")
def test_a_hung_call_leaves_no_process_behind(gpus, tmp_path):
    gpus(percent=[97], hangs=200)
    assert isinstance(_read(seconds=0.3), Unknown)
    assert not any(command._unkillable.values())
    assert [pid for pid in os.listdir("/proc") if pid.isdigit() and str(tmp_path) in _command_line(pid)] == []


def _command_line(pid: str) -> str:
    try:
        return Path("/proc", pid, "cmdline").read_text(errors="replace")
    except OSError:  # it has just ended
        return ""


def test_a_machine_without_a_driver_has_no_gpu(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TEST_DEVICES", str(tmp_path))
    assert _read() is None
    (tmp_path / "nvidia0").touch()
    assert isinstance(_read(), Unknown)


def test_nvidia_smi_without_a_card_means_no_gpu(gpus, tmp_path):
    """A GPU image on a CPU instance exits with 9 without a driver, 6 without devices."""
    gpus(percent=[], fails=True)
    (tmp_path / "dev" / "nvidia0").unlink()
    assert _read() is None
