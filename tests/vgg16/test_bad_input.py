"""Bad input is one clear line and an exit status, never a traceback or a wait without end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vgg16
from vgg16 import BadData
from vgg16.__main__ import main
from vgg16.command import printable, values
from vgg16.data import dogscats
from vgg16.kaggle import predictions
from vgg16.kaggle.predictions import Predictions
from vgg16.pictures import find_pictures
from vgg16.report import ProgressReport, Silent

Capture = pytest.CaptureFixture[str]


def words(data: Path, results: Path, *more: str) -> list[str]:
    options = ["--preset", "demo", "--image-size", "32", "--epochs", "1", "--device", "cpu"]
    return ["train", "--data", str(data), "--results", str(results), *options, *more]


def refused(capsys: Capture, *command: str) -> str:
    """The last line of standard error of a command that argparse or the program refuses."""
    try:
        status = main([*command])
    except SystemExit as left:
        status = left.code
        assert status == 2
    assert status in (1, 2)
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if "error: " in line]
    assert len(lines) == 1 and err.endswith(lines[0] + "\n")
    return lines[0].partition("error: ")[2]


def test_what_is_named_as_a_picture_and_is_no_file_is_not_counted(tiny_set: Path) -> None:
    before = find_pictures(tiny_set / "train").files
    folder = tiny_set / "train" / "dark"
    os.mkfifo(folder / "fifo.jpg")
    (folder / "dir.jpg").mkdir()
    (folder / "zero.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(folder / "socket.jpg"))
    assert find_pictures(tiny_set / "train").files == before
    (folder / "link.png").symlink_to(folder / "dark.1.png")
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    added = set(find_pictures(tiny_set / "train").files) - set(before)
    assert added == {"dark/link.png", "dark/dangling.png"}


def test_a_dangling_link_is_left_out_and_named_while_a_fifo_stops_nothing(
    tiny_set: Path, tmp_path: Path, capsys: Capture
) -> None:
    os.mkfifo(tiny_set / "train" / "dark" / "fifo.jpg")
    (tiny_set / "train" / "dark" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    assert main(words(tiny_set, tmp_path / "results")) == 0
    out = capsys.readouterr().out
    assert f"left out: {tiny_set}/train/dark/gone.jpg: " in out and "fifo.jpg" not in out
    assert "Found 25 images" in out


def test_kaggle_s_split_moves_pictures_and_nothing_else_that_has_their_names(tmp_path: Path) -> None:
    train, test = tmp_path / "train", tmp_path / "test"
    for path in (*(train / f"{kind}.{number}.jpg" for kind in ("cat", "dog") for number in range(3)), test):
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if path == test else path.write_bytes(b"picture")
    os.mkfifo(train / "cat.7.jpg")
    (train / "cat.8.jpg").mkdir()
    os.mkfifo(test / "1.jpg")
    assert dogscats.split(tmp_path, valid=2).startswith("4 train, 2 valid")
    assert (train / "cat.7.jpg").is_fifo() and (train / "cat.8.jpg").is_dir() and (test / "1.jpg").is_fifo()


@pytest.fixture
def submitted(tmp_path: Path) -> Path:
    results = tmp_path / "results"
    results.mkdir()
    half = np.full((2, 2), 0.5)
    found = Predictions(
        tmp_path, ("cat", "dog"), half, np.array([0, 1]), ("unknown/1.jpg", "unknown/2.jpg"), half
    )
    predictions.save(results, found)
    return results


def test_a_fifo_in_place_of_a_file_is_named_instead_of_waited_for(
    submitted: Path, tiny_set: Path, tmp_path: Path, capsys: Capture
) -> None:
    os.mkfifo(fifo := tmp_path / "fifo.safetensors")
    line = f"{fifo}: not a regular file"
    assert refused(capsys, "submit", "--results", str(submitted), "--no-send", "--sample", str(fifo)) == line
    assert refused(capsys, "fetch", "--to", str(tmp_path / "to"), "--zip", str(fifo)) == line
    assert refused(capsys, *words(tiny_set, tmp_path / "r", "--save", str(fifo))) == line
    assert refused(capsys, *words(tiny_set, tmp_path / "r", "--weights", str(fifo))).startswith(f"{fifo}: no")
    results = tmp_path / "other"
    results.mkdir()
    for name, command in (
        ("predictions.npz", ["submit", "--results", str(results), "--no-send"]),
        ("checkpoint.pt", words(tiny_set, results, "--resume")),
    ):
        os.mkfifo(results / name)
        assert refused(capsys, *command) == f"{results / name}: not a regular file"


def test_a_sample_that_is_no_text_is_one_clear_line(submitted: Path, tmp_path: Path, capsys: Capture) -> None:
    (sample := tmp_path / "sample.csv").write_bytes(b"\xff\xfe\x00")
    said = refused(capsys, "submit", "--results", str(submitted), "--no-send", "--sample", str(sample))
    assert said.startswith(f"{sample}: no CSV file (")


STUCK = """
import os, sys, vgg16.lesson
from vgg16.__main__ import main
def stuck(path):
    print("stuck", flush=True)
    open(sys.argv[1])
vgg16.lesson.find_pictures = stuck
sys.exit(main(sys.argv[2:]))
"""


def test_sigterm_ends_a_training_that_waits_for_its_pictures_for_ever(tiny_set: Path, tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    environment = os.environ | {"PYTHONPATH": str(Path(vgg16.__file__).parents[1])}
    command = [sys.executable, "-c", STUCK, str(fifo), *words(tiny_set, tmp_path / "results")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        try:
            while running.stdout.readline() not in ("stuck\n", ""):
                pass
            running.send_signal(signal.SIGTERM)
            assert running.wait(60) == 143
            assert running.stderr.read() == "ended by SIGTERM before training began\n"
        finally:
            running.kill()


FORGED = "a\n@progress {}\x1b[m"


@pytest.mark.filterwarnings("ignore:constrained_layout")  # of a class with a long name
def test_names_neither_move_the_cursor_nor_forge_progress_and_stay_as_they_are_in_files(
    tiny_set: Path, tmp_path: Path, capsys: Capture
) -> None:
    for part in ("train", "valid"):
        (tiny_set / part / "dark").rename(tiny_set / part / FORGED)
    (tiny_set / "train" / "light" / f"{FORGED}.jpg").write_text("no picture")
    results = tmp_path / "results"
    assert main(words(tiny_set, results)) == 0
    out = capsys.readouterr().out
    assert r"a\n@progress {}\x1b[m.jpg: not a picture" in out
    assert "\x1b" not in out and not any(line.startswith("@progress {}") for line in out.splitlines())
    summary = json.loads((results / "summary.json").read_text())
    assert summary["classes"] == [FORGED, "light"]
    assert summary["left_out"][0].startswith(f"{tiny_set}/train/light/{FORGED}.jpg: ")
    (tiny_set / "valid" / FORGED).rename(tiny_set / "valid" / "other")
    said = refused(capsys, *words(tiny_set, results))
    assert r"train has classes a\n@progress" in said and "\x1b" not in said


def test_a_resumed_run_of_other_classes_is_refused_in_one_line(
    tiny_set: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert main(words(tiny_set, tmp_path / "results")) == 0
    capsys.readouterr()
    said = refused(capsys, *words(tiny_set, tmp_path / "results", "--resume", "--seed", "1"))
    assert "is of another run" in said and "\\n" not in said


def test_names_that_are_no_utf_8_or_look_like_formulas_are_drawn_and_shown(
    tiny_set: Path, tmp_path: Path, capsys: Capture
) -> None:
    name = os.fsdecode(b"caf\xe9 $x^$")
    for part in ("train", "valid"):
        (tiny_set / part / "dark").rename(tiny_set / part / name)
    (tiny_set / "train" / name / f"{name}.jpg").write_text("no picture")
    assert main(words(tiny_set, tmp_path / "results")) == 0
    assert r"caf\udce9 $x^$/caf\udce9 $x^$.jpg: not a picture" in capsys.readouterr().out


def test_every_rank_s_lines_are_printable(capsys: Capture) -> None:
    for say in (ProgressReport().say, ProgressReport().warn, Silent().warn):
        say("left out: \x9b2J\u202eé 写真.jpg")
        assert capsys.readouterr().out == "left out: \\x9b2J\\u202eé 写真.jpg\n"
    assert printable("\r\t\0") == r"\r\t\x00"


@pytest.mark.parametrize("option", ["--data", "--results", "--cache", "--save", "--weights"])
def test_a_home_of_an_unknown_user_is_one_clear_line_of_train(
    option: str, tiny_set: Path, tmp_path: Path, capsys: Capture
) -> None:
    said = refused(capsys, *words(tiny_set, tmp_path / "results", option, "~nosuchuser/x"))
    assert said == f"argument {option}: '~nosuchuser/x': there is no such user, so no home folder"


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "--data", "~nosuchuser/x"],
        ["evaluate", "--data", "x", "--weights", "caffe:~nosuchuser/x"],
        ["data", "faces", "--to", "~nosuchuser/x"],
        ["fetch", "--to", "~nosuchuser/x"],
        ["fetch", "--to", "x", "--zip", "~nosuchuser/x"],
        ["split", "~nosuchuser/x"],
        ["submit", "--results", "~nosuchuser/x"],
        ["submit", "--results", "x", "--sample", "~nosuchuser/x"],
    ],
)
def test_a_home_of_an_unknown_user_is_one_clear_line(command: list[str], capsys: Capture) -> None:
    assert refused(capsys, *command).endswith("there is no such user, so no home folder")


def test_a_lesson_s_folder_of_an_unknown_user_is_named() -> None:
    with pytest.raises(BadData, match="^~nosuchuser/x: no such folder$"):
        find_pictures("~nosuchuser/x")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--lr", "nan", "0 to 1000 is needed"),
        ("--lr", "-1", "0 to 1000 is needed"),
        ("--lr", "inf", "0 to 1000 is needed"),
        ("--lr", "1e300", "0 to 1000 is needed"),
        ("--lr", "fast", "a number is needed, not 'fast'"),
        ("--seed", "99999999999999999999999", "9223372036854775807 or less is needed"),
        ("--seed", "9223372036854775808", "9223372036854775807 or less is needed"),
        ("--seed", "-1", "0 or more is needed"),
        ("--seed", "x", "a whole number is needed, not 'x'"),
        ("--epochs", "0", "1 or more is needed"),
        ("--image-size", "31", "32 or more is needed"),
        ("--clip", "nan", "0 to 0.5 is needed"),
        ("--dollars-per-hour", "nan", "a number of dollars, 0 or more, is needed"),
        ("--dollars-per-hour", "-1", "a number of dollars, 0 or more, is needed"),
        ("--dollars-per-hour", "inf", "a number of dollars, 0 or more, is needed"),
    ],
)
def test_a_number_out_of_range_is_named(
    option: str, value: str, said: str, tmp_path: Path, capsys: Capture
) -> None:
    assert (
        refused(capsys, *words(tmp_path, tmp_path / "r", f"{option}={value}")) == f"argument {option}: {said}"
    )


def test_the_largest_seed_and_the_largest_rate_train(tiny_set: Path, tmp_path: Path) -> None:
    assert values.seed(str(2**63 - 1)) == 2**63 - 1
    more = ["--seed", str(2**63 - 1), "--lr", "1000"]
    assert main(words(tiny_set, tmp_path / "results", *more)) in (0, 1)  # its loss may be no number


@pytest.mark.parametrize("name", ["mps", "meta", "cuda:-1", "cuda:x", "cpu:0", "CPU", "cuda:99999999999", ""])
def test_other_devices_than_cpu_and_cuda_are_refused(
    name: str, tiny_set: Path, tmp_path: Path, capsys: Capture
) -> None:
    said = refused(capsys, *words(tiny_set, tmp_path / "results", f"--device={name}"))
    assert said.startswith(f"--device {name}: there is no such device; use cuda, cuda:1 or cpu")


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        ("GPU_BOX_DOLLARS_PER_HOUR", "abc", "train"),
        ("GPU_BOX_DOLLARS_PER_HOUR", "-1", "train"),
        ("VGG16_CACHE", "~nosuchuser/x", "train"),
        ("VGG16_SIZE", "abc", "evaluate"),
        ("VGG16_WEIGHTS", "~nosuchuser/x", "evaluate"),
    ],
)
def test_an_environment_variable_that_makes_no_sense_is_named(
    name: str, value: str, command: str, tiny_set: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    results = ["--results", str(tiny_set / "results")] if command == "train" else []
    said = refused(capsys, command, "--data", str(tiny_set), "--device", "cpu", *results)
    assert said.startswith(f"${name} is {value!r}: ")


def test_a_price_of_nothing_is_not_replaced_by_the_box_s(
    tiny_set: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPU_BOX_DOLLARS_PER_HOUR", "1000")
    assert main(words(tiny_set, tmp_path / "results", "--dollars-per-hour", "0")) == 0
    assert '"dollars": 0.0}' in capsys.readouterr().out


def test_resume_is_named_only_if_there_is_something_to_go_on_from(
    tiny_set: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(capsys, *words(tiny_set, Path("/proc/x"))) == "/proc/x: No such file or directory"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vgg16.run.train", interrupted)
    assert main(words(tiny_set, tmp_path)) == 130
    assert capsys.readouterr().err == "interrupted\n"
    (tmp_path / "checkpoint.pt").touch()
    assert main(words(tiny_set, tmp_path)) == 130
    assert capsys.readouterr().err == "interrupted; --resume goes on from the last finished epoch\n"


def test_the_help_of_train_names_each_default_once(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    lines = [part.replace("\n", " ") for part in capsys.readouterr().out.split("\n  -")[1:]]
    options = {"-" + line.split()[0]: line.count("(default: ") for line in lines}
    without = {
        "-h,",
        "--data",
        "--results",
        "--preset",
        "--augment",
        "--resume",
        "--no-cache",
        "--no-compile",
        "--save",
    }
    assert options == {name: int(name not in without) for name in options}
    assert len(options) == 22 and not any("None" in line or "False" in line for line in lines)
