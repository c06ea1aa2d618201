"""`fetch` and `submit` with Kaggle's own package, against its API on loopback."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.vgg16 import kaggle_server

import vgg16
from vgg16.__main__ import main
from vgg16.kaggle import predictions
from vgg16.kaggle.predictions import Predictions

# The package knows only Kaggle's own address, so its requests are redirected.
_COMMAND = """
import sys
import kagglesdk.kaggle_env as kaggle
kaggle._env_to_endpoint[kaggle.KaggleEnv.PROD] = sys.argv[1]
from vgg16.__main__ import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def server() -> Iterator[kaggle_server.KaggleServer]:
    with kaggle_server.running() as running:
        yield running


def start(server: kaggle_server.KaggleServer, words: list[str]) -> subprocess.Popen[str]:
    env = os.environ | {
        "PYTHONPATH": str(Path(vgg16.__file__).parents[1]),
        "PYTHONWARNINGS": "ignore",  # of Kaggle's package
    }
    command = [sys.executable, "-c", _COMMAND, server.url, *words]
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(server: kaggle_server.KaggleServer, *words: str) -> tuple[int, str, str]:
    with start(server, list(words)) as process:
        out, errors = process.communicate(timeout=120)
        return process.returncode, out, errors


def put_credentials(key: str = kaggle_server.KEY) -> None:
    path = Path.home() / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"username": kaggle_server.USER, "key": key}))
    path.chmod(0o600)


def competition_zip(*, pictures: int = 30, bytes_each: int = 10) -> bytes:
    """As Kaggle's: train.zip, test.zip and the sample in one zip."""

    def zipped(members: dict[str, bytes]) -> bytes:
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return held.getvalue()

    random = np.random.default_rng(0)
    train = {
        f"train/{kind}.{number}.jpg": random.bytes(bytes_each)
        for kind in ("cat", "dog")
        for number in range(pictures)
    }
    test = {f"test/{number}.jpg": random.bytes(bytes_each) for number in range(1, 11)}
    sample = "id,label\n" + "".join(f"{number},0.5\n" for number in range(1, 11))
    return zipped(
        {"train.zip": zipped(train), "test.zip": zipped(test), "sample_submission.csv": sample.encode()}
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """As `train` leaves them: 2 % of the held-out pictures are wrong, and surely so; ten test pictures."""
    labels = np.array([1, 0] * 100)
    of_dogs = labels.astype(np.float32)
    of_dogs[:4] = 1 - of_dogs[:4]
    numbers = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    test = np.array([1.0 if number % 2 else 0.0 for number in numbers], dtype=np.float32)
    predicted = Predictions(
        data=tmp_path / "data",
        classes=("cat", "dog"),
        valid=np.stack([1 - of_dogs, of_dogs], axis=1),
        labels=labels,
        files=tuple(f"unknown/{number}.jpg" for number in numbers),
        test=np.stack([1 - test, test], axis=1),
    )
    predictions.save(tmp_path / "results", predicted)
    return tmp_path / "results"


def test_the_competition_s_files_come_into_the_lesson_s_layout(
    server: kaggle_server.KaggleServer, tmp_path: Path
) -> None:
    put_credentials()
    server.archive = competition_zip()
    to = tmp_path / "data" / "dogscats"
    code, out, errors = run(server, "fetch", "--to", str(to), "--valid", "12")
    assert code == 0, errors
    assert "48 train, 12 valid, classes cat and dog" in out
    assert len(list((to / "valid").rglob("*.jpg"))) == 12
    assert len(list((to / "test" / "unknown").iterdir())) == 10
    assert (to / "sample_submission.csv").read_text().startswith("id,label\n1,0.5\n")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["dogscats"]
    assert run(server, "fetch", "--to", str(to))[1] == f"{to}: already prepared\n"
    assert server.sent == len(server.archive)


def test_a_killed_download_goes_on_where_it_was(server: kaggle_server.KaggleServer, tmp_path: Path) -> None:
    put_credentials()
    server.archive = competition_zip(bytes_each=100_000)  # 7 MB: several of the package's pieces
    kept = tmp_path / ".d.download" / f"{kaggle_server.COMPETITION}.zip"
    server.break_after = 4_000_000
    words = ["fetch", "--to", str(tmp_path / "d"), "--valid", "12"]
    with start(server, words) as process:
        until = time.monotonic() + 60
        while not (kept.exists() and kept.stat().st_size >= 3_000_000) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    server.sent = 0
    code, out, errors = run(server, *words)
    assert code == 0, errors
    assert "48 train, 12 valid" in out
    # The first answer to the second run, which it drops for a range, may be under way before it is dropped.
    assert len(server.archive) - 4_100_000 <= server.sent
    assert "Resuming from" in out


def test_a_line_that_breaks_is_taken_up_again(server: kaggle_server.KaggleServer, tmp_path: Path) -> None:
    put_credentials()
    server.archive = competition_zip(bytes_each=50_000)
    server.break_after = 2_000_000
    code, out, errors = run(server, "fetch", "--to", str(tmp_path / "d"), "--valid", "12")
    assert code == 0, errors
    assert "48 train, 12 valid" in out
    assert server.sent < len(server.archive) + 1_100_000  # of the package's last piece, at most, twice


def test_a_damaged_download_is_not_kept(server: kaggle_server.KaggleServer, tmp_path: Path) -> None:
    put_credentials()
    whole = competition_zip()
    server.archive = whole[: len(whole) // 2]
    words = ["fetch", "--to", str(tmp_path / "d"), "--valid", "12"]
    code, _, errors = run(server, *words)
    assert code == 1 and "damaged" in errors and "Traceback" not in errors
    server.archive = whole
    assert run(server, *words)[0] == 0


def test_rules_that_are_not_accepted_are_named(server: kaggle_server.KaggleServer, tmp_path: Path) -> None:
    put_credentials()
    server.rules_accepted = False
    code, _, errors = run(server, "fetch", "--to", str(tmp_path / "d"))
    assert code == 1
    assert errors == (
        "error: Kaggle said 403: accept the competition's rules first: "
        f"https://www.kaggle.com/c/{kaggle_server.COMPETITION}/rules\n"
    )
    assert not (tmp_path / "d").exists()


def test_fetch_without_credentials_says_how_to_get_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "--to", str(tmp_path / "d")]) == 1
    assert capsys.readouterr().err.startswith("error: no Kaggle credentials here: make a token at ")


def test_a_submission_is_clipped_checked_and_sent(
    server: kaggle_server.KaggleServer, results: Path, tmp_path: Path
) -> None:
    put_credentials()
    (tmp_path / "data").mkdir()
    sample = "id,label\n" + "".join(f"{number},0.5\n" for number in range(1, 11))
    (tmp_path / "data" / "sample_submission.csv").write_text(sample)
    code, out, errors = run(server, "submit", "--results", str(results), "--message", "first try")
    assert code == 0, errors
    expected = "id,label\n" + "".join(f"{n},{'0.980000' if n % 2 else '0.020000'}\n" for n in range(1, 11))
    assert server.submissions == [("submission.csv", expected.encode(), "first try")]
    assert (results / "submission.csv").read_text() == expected
    # 2 % wrong at 0.02: 0.98 * -log(0.98) + 0.02 * -log(0.02); at 0.05 likewise.
    assert "expected log-loss 0.0980 clipped at 0.02, 0.1102 at the lesson's 0.05" in out
    assert f"10 rows with the ids of {tmp_path}/data/sample_submission.csv" in out
    assert f"Successfully submitted to {kaggle_server.COMPETITION}; its score: https://www.kaggle.com/" in out


def test_a_submission_with_other_ids_than_the_sample_s_is_not_sent(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_credentials()
    (tmp_path / "sample.csv").write_text("id,label\n1,0.5\n11,0.5\n")
    assert main(["submit", "--results", str(results), "--sample", str(tmp_path / "sample.csv")]) == 1
    assert "1 of 2 ids are missing, as 11" in capsys.readouterr().err


@pytest.mark.parametrize("why", ["no Kaggle credentials", "--no-send"])
def test_a_submission_that_is_not_sent_is_there_all_the_same(
    why: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if why == "--no-send":
        put_credentials()
    words = ["--no-send"] if why == "--no-send" else []
    assert main(["submit", "--results", str(results), "--clip", "0.1", *words]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"not sent: {why}")
    assert (results / "submission.csv").read_text().startswith("id,label\n1,0.900000\n2,0.100000\n")


def test_credentials_that_kaggle_refuses_are_said_to_be_refused(
    server: kaggle_server.KaggleServer, results: Path
) -> None:
    put_credentials(key="old")
    code, out, errors = run(server, "submit", "--results", str(results))
    assert code == 1 and "Traceback" not in errors
    assert "error: Kaggle said 401: the credentials are not valid (any more)" in errors
    assert (results / "submission.csv").exists() and "submission.csv: 10 pictures" in out


def test_without_a_trained_run_there_is_nothing_to_submit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", "--results", str(tmp_path)]) == 1
    assert "predictions.npz: no such file; `train` leaves it" in capsys.readouterr().err


def test_damaged_predictions_are_named(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = results / predictions.FILE
    path.write_bytes(path.read_bytes()[:100])
    assert main(["submit", "--results", str(results)]) == 1
    assert f"error: {path}: damaged" in capsys.readouterr().err
