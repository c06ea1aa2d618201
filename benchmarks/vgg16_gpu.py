"""`make bench-gpu`: what vgg16 and the watcher do on a GPU machine, under 8 minutes, one dated table.

    python benchmarks/vgg16_gpu.py [--small] [--write FILE]

Needs Python 3.12, PyTorch 2.11 or newer and this repository. Each part is a process of its own with a time
limit: one that fails, or lacks a package, costs its rows alone, and the table says why. --small: a CPU and a
few seconds, to try the parts; its figures say nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 460.0  # of all parts together
HEAD = ("what", "measured", "beside it", "aim", "met")
MODULES = {"nvidia.nvimgcodec": "nvidia-nvimgcodec-cu12[nvjpeg]", "PIL": "pillow", "skimage": "scikit-image"}


class Row(NamedTuple):
    what: str
    measured: str
    beside: str = ""
    aim: str = ""
    met: str = ""


class Part(NamedTuple):
    """needs: modules without which it is skipped. rows: from the last line that the command printed."""

    name: str
    limit_s: float
    needs: tuple[str, ...]
    command: list[str]
    rows: Callable[[str], list[Row]]


class Skipped(NamedTuple):
    name: str
    reason: str


def main() -> int:
    asked = _arguments()
    started = time.monotonic()
    rows: list[Row] = []
    skipped: list[Skipped] = []
    for part in parts(small=asked.small):
        left = LIMIT_S - (time.monotonic() - started)
        print(f"{LIMIT_S - left:3.0f} s  {part.name}", file=sys.stderr, flush=True)
        try:
            rows += measured(part, min(part.limit_s, left))
        except LookupError as reason:
            skipped.append(Skipped(part.name, str(reason)))
    text = page(rows, skipped, time.monotonic() - started, small=asked.small)
    print(text)
    if asked.write:
        asked.write.write_text(text + "\n", encoding="utf-8")
    return 0


def parts(*, small: bool) -> Iterator[Part]:
    """In order of importance: what comes last may find no time left."""
    base = ("torch", "numpy")
    ours = (*base, "PIL")
    yield Part("PyTorch on the card", 60, base, _python("-m", "vgg16.device"), device)
    yield Part("gpu signal", 60, ("torch",), _script(__file__, "--signal"), signal)
    # Without this project's settings and fixtures, which need other packages.
    alone = ["-c", os.devnull, "--rootdir", str(ROOT), "--noconftest", "-p", "no:cacheprovider"]
    tests = ["-m", "pytest", "-q", *alone, "-m", "gpu", "-rs"]
    yield Part("pytest -m gpu", 90, (*ours, "pytest"), _python(*tests, "tests/vgg16/test_gpu.py"), tested)
    tiny = ["--seconds", "0.01", "--size", "32", "--batch", "2"] if small else []
    for name, precision, options, limit_s in (
        ("bf16, compiled", "bf16", ["--seconds", "1"], 150.0),
        ("bf16", "bf16", ["--seconds", "0.7", "--no-compile"], 60.0),
        ("fp16", "fp16", ["--seconds", "0.7", "--no-compile"], 60.0),
    ):
        command = _script("vgg16_speed.py", "--json", "--precision", precision, *options, *tiny)
        needs = (*ours, "triton") if "compiled" in name else ours
        yield Part(name, limit_s, needs, command, speed(name))
    tiny = ["--size", "32", "--width", "8"] if small else []
    faces = (*ours, "skimage")
    yield Part("epochs", 60, faces, _script("vgg16_epochs.py", "--json", "--epochs", "3", *tiny), epochs)
    count = ["--pictures", "20" if small else "2048", "--rounds", "1"]
    both = _script("vgg16_decode.py", "--json", *count)
    if not _is_there("nvidia.nvimgcodec"):
        yield Part("decoding by Pillow", 60, faces, [*both, "--pillow"], decoding)
    yield Part("decoding on the card", 60, (*faces, "nvidia.nvimgcodec"), both, decoding)


def measured(part: Part, limit_s: float) -> list[Row]:
    """Raises LookupError with the reason if there is nothing to show."""
    if lacking := [name for name in part.needs if not _is_there(name)]:
        packages = " ".join(MODULES.get(name, name) for name in lacking)
        raise LookupError(f"not installed: {packages}")
    if limit_s < 5:
        raise LookupError("no time was left")
    paths = [str(ROOT / "remote"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        ran = subprocess.run(
            part.command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        raise LookupError(f"not done after {limit_s:.0f} s") from None
    lines = [line for line in ran.stdout.splitlines() if line.strip()]
    if ran.returncode:
        print(ran.stdout + ran.stderr, file=sys.stderr)
        said = lines[-1:] if part.rows is device else ran.stderr.strip().splitlines()[-1:] or lines[-1:]
        raise LookupError(f"exit status {ran.returncode}: {''.join(said)}")
    return part.rows(lines[-1] if lines else "")


def device(line: str) -> list[Row]:
    return [Row("PyTorch on the card", line)]


def speed(name: str) -> Callable[[str], list[Row]]:
    aims = {"forward": 0.7, "full": 0.6}

    def rows(line: str) -> list[Row]:
        found = []
        for case in json.loads(line):
            aim = aims.get(case["case"])
            share = f"{case['ours']:,.0f} images/s, {case['share']:.0%} of the card's matrix product"
            times = case["ours"] / case["plain"]
            beside = f"plain loop {case['plain']:,.0f}, {case['plain_share']:.0%}: {times:.2f}x"
            words = (f"{aim:.0%}", _met(case["share"] >= aim)) if aim else ("", "")
            found.append(Row(f"{case['case']}, {name}", share, beside, *words))
        return found

    return rows


def epochs(line: str) -> list[Row]:
    found = json.loads(line)
    first, second = found["cached"][:2]
    shown = f"{first:.2f} s, then {second:.3f} s: 1/{first / second:.0f}"
    beside = "without the cache " + ", ".join(f"{seconds:.2f}" for seconds in found["computed"][:2]) + " s"
    return [Row("epochs 1 and 2, last layer", shown, beside, "1/50", _met(second <= first / 50))]


def decoding(line: str) -> list[Row]:
    rates = json.loads(line)
    (_, pillow), *cards = rates.items()
    if not cards:
        return [Row("JPEGs decoded by Pillow", f"{pillow:,.0f} images/s")]
    return [
        Row(f"JPEGs decoded by {name}", f"{rate:,.0f} images/s", f"{rate / pillow:.2f}x")
        for name, rate in cards
    ]


def signal(line: str) -> list[Row]:
    found = json.loads(line)
    under, rest = found["load"], found["rest"]
    right = "computing" in under and "computing" not in rest
    return [
        Row("gpu signal of the watcher", f"under load {under}", f"at rest {rest}", "distinct", _met(right))
    ]


def tested(line: str) -> list[Row]:
    if "passed" not in line:
        raise LookupError(f"{line}: no GPU that PyTorch can use")
    return [Row("pytest -m gpu", line)]


def measure_signal() -> None:
    """What the watcher reads from the real nvidia-smi, at rest and while a process multiplies matrices."""
    import torch

    from watch.read.gpu import read_gpus

    def read() -> str:
        answer = read_gpus(seconds=15.0, busy_from=5.0)
        if not isinstance(answer, tuple):
            sys.exit("no NVIDIA card" if answer is None else str(answer))
        return ", ".join(f"{gpu.percent} %{' computing' if gpu.compute else ''}" for gpu in answer)

    rest = read()
    if not torch.cuda.is_available():
        sys.exit("PyTorch sees no card")
    code = "import torch,time\na=torch.rand(4096,4096,device='cuda')\nt=time.monotonic()+20\n"
    code += "while time.monotonic()<t: a@a; torch.cuda.synchronize()"
    with subprocess.Popen([sys.executable, "-c", code]) as other:
        time.sleep(8)  # for PyTorch to start, and a sample period of nvidia-smi's, which is up to a second
        load = read()
        other.terminate()
    print(json.dumps({"rest": rest, "load": load}))


def page(rows: list[Row], skipped: list[Skipped], seconds: float, *, small: bool) -> str:
    lines = [f"# GPU figures of {time.strftime('%Y-%m-%d')}", "", _machine(), ""]
    if small:
        lines += ["A trial of the parts, with tiny settings: these figures say nothing.", ""]
        rows = [row._replace(met="") for row in rows]
    lines += [_line(HEAD), _line(["---"] * len(HEAD)), *(_line(row) for row in rows)]
    lines += ["", "Skipped:", ""] if skipped else []
    lines += [f"- {name}: {reason}" for name, reason in skipped]
    return "\n".join([*lines, "", f"`make bench-gpu`, {seconds:.0f} s."])


def _machine() -> str:
    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    cores = f"{os.cpu_count()} cores"
    if not _is_there("torch"):
        return f"{system}, {cores}."
    import torch

    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no card"
    return f"{card}, PyTorch {torch.__version__}, CUDA {torch.version.cuda or 'none'}; {system}, {cores}."


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _met(yes: bool) -> str:
    return "yes" if yes else "no"


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False


def _python(*words: str) -> list[str]:
    return [sys.executable, *words]


def _script(name: str, *words: str) -> list[str]:
    return _python(str(ROOT / "benchmarks" / name), *words)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="tiny settings, to try the parts")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--signal", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    if "--signal" in sys.argv:
        measure_signal()
    else:
        sys.exit(main())
