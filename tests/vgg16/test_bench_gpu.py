"""`make bench-gpu` without a GPU: each part runs or says what it lacks, and one dated table comes out."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from benchmarks import vgg16_gpu as bench


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["vgg16_gpu.py", "--small", *words])
    assert bench.main() == 0
    return capsys.readouterr().out


def test_a_part_is_measured_and_one_without_a_card_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The others, as all of `--small`, take a minute."""
    chosen = [part for part in bench.parts(small=True) if part.name in ("epochs", "gpu signal")]
    monkeypatch.setattr(bench, "parts", lambda *, small: chosen)
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi
    text = run(monkeypatch, capsys, "--write", str(tmp_path / "gpu.md"))
    assert re.search(r"^# GPU figures of \d{4}-\d\d-\d\d$", text, re.M)
    assert re.search(r"^\| epochs 1 and 2, last layer \| [\d.]+ s, then [\d.]+ s: 1/\d+ \|", text, re.M)
    assert re.search(r"^- gpu signal: exit status 1: ", text, re.M)
    assert (tmp_path / "gpu.md").read_text() == text


def test_a_bare_machine_learns_which_package_each_part_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "_is_there", lambda module: module == "torch")
    monkeypatch.setattr(bench.subprocess, "run", lambda *_, **__: pytest.fail("nothing can run"))
    monkeypatch.setattr(bench, "parts", lambda *, small: [p for p in all_parts if p.name != "gpu signal"])
    text = run(monkeypatch, capsys)
    assert "- epochs: not installed: numpy pillow scikit-image" in text
    assert (
        "- decoding on the card: not installed: numpy pillow scikit-image nvidia-nvimgcodec-cu12[nvjpeg]"
        in text
    )
    assert "- pytest -m gpu: not installed: numpy pillow pytest" in text


all_parts = list(bench.parts(small=True))


def test_no_part_may_take_the_time_of_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forever = bench.Part("slow", 0.2, (), [sys.executable, "-c", "import time; time.sleep(60)"], bench.device)
    with pytest.raises(LookupError, match="no time was left"):
        bench.measured(forever, 3.0)
    monkeypatch.setattr(bench.subprocess, "run", timed_out)
    with pytest.raises(LookupError, match="not done after 20 s"):
        bench.measured(forever, 20.0)
    assert bench.LIMIT_S < 8 * 60


def timed_out(command: list[str], *, timeout: float, **_: object) -> None:
    raise bench.subprocess.TimeoutExpired(command, timeout)


def test_figures_are_held_against_the_aims() -> None:
    line = (
        '[{"case": "forward", "ours": 5000, "plain": 1000, "share": 0.71, "plain_share": 0.3}, '
        '{"case": "full", "ours": 900, "plain": 300, "share": 0.55, "plain_share": 0.2}]'
    )
    forward, full = bench.speed("bf16")(line)
    assert forward == (
        "forward, bf16",
        "5,000 images/s, 71% of the card's matrix product",
        "plain loop 1,000, 30%: 5.00x",
        "70%",
        "yes",
    )
    assert full[3:] == ("60%", "no")
    (row,) = bench.epochs('{"cached": [6.0, 0.1, 0.1], "computed": [5.5, 5.0, 5.0]}')
    assert row[1] == "6.00 s, then 0.100 s: 1/60" and row.met == "yes"
    (row,) = bench.signal('{"rest": "0.0 %", "load": "100.0 % computing"}')
    assert row.met == "yes"
