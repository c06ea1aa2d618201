"""torchrun restarts lost ranks, but not after an error that would come again; each is one line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from tests.vgg16.ranked import as_ranks

import vgg16
from vgg16.__main__ import main
from vgg16.distributed import joined
from vgg16.elastic import HOPELESS, Interrupted


def launched(script: str, folder: Path) -> tuple[int, str]:
    """Exit status and standard error of two ranks that run a script each, restarted once at most."""
    from vgg16 import launch

    (folder / "script").write_text(f"echo $TORCHELASTIC_RESTART_COUNT >> {folder}/starts\n{script}\n")
    options = ["--nproc-per-node=2", "--max-restarts=1", "--monitor-interval=0.1", "--no-python"]
    sys.argv = ["launch", "--standalone", "--local-addr=127.0.0.1", *options, "sh", str(folder / "script")]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        status = launch.main()
    return status, said.getvalue()


def starts(folder: Path) -> list[str]:
    """The number of restarts before each start."""
    return sorted((folder / "starts").read_text().split())


def test_what_a_restart_cannot_cure_fails_at_once_with_its_line(tmp_path: Path) -> None:
    words = r"import vgg16.elastic as e; e.leave_word('\x1b is no number'); raise SystemExit(e.HOPELESS)"
    script = f'PYTHONPATH={Path(vgg16.__file__).parents[1]} exec {sys.executable} -c "{words}"'
    (result,) = as_ranks(1, launched, script, tmp_path)
    assert result == (1, "error: \\x1b is no number\n")
    assert starts(tmp_path) == ["0", "0"]


def test_a_lost_rank_is_named_and_all_begin_again(tmp_path: Path) -> None:
    script = '[ "$TORCHELASTIC_RESTART_COUNT" = 1 ] || { [ "$RANK" = 1 ] && kill -9 $$; exec sleep 30; }'
    (result,) = as_ranks(1, launched, script, tmp_path)
    assert result == (0, "rank 1 was lost (SIGKILL): all begin again, after the last finished epoch\n")
    assert starts(tmp_path) == ["0", "0", "1", "1"]


def test_what_a_run_has_cost_goes_on_after_a_lost_rank(tmp_path: Path) -> None:
    words = (
        "from vgg16.report import ProgressReport as R; "
        "R(dollars_per_hour=3600).step('fit', epoch=1, epochs=1, step=1, steps=1)"
    )
    again = f'PYTHONPATH={Path(vgg16.__file__).parents[1]} exec {sys.executable} -c "{words}"'
    script = (
        f'[ "$TORCHELASTIC_RESTART_COUNT" = 1 ] || {{ sleep 1; kill -9 $$; }}\n{again} > {tmp_path}/$RANK'
    )
    assert as_ranks(1, launched, script, tmp_path)[0][0] == 0
    line = json.loads((tmp_path / "0").read_text().removeprefix("@progress "))
    assert 1 < line["dollars"] < 60  # a dollar a second


def test_a_rank_lost_again_and_again_ends_it_without_a_traceback(tmp_path: Path) -> None:
    (result,) = as_ranks(1, launched, '[ "$RANK" = 1 ] && kill -9 $$; exec sleep 30', tmp_path)
    assert result[0] == 1
    assert result[1].splitlines() == [
        "rank 1 was lost (SIGKILL): all begin again, after the last finished epoch",
        "error: rank 1 was lost (SIGKILL)",
    ]
    assert starts(tmp_path) == ["0", "0", "1", "1"]


@pytest.mark.parametrize("launched", [False, True])
def test_a_rank_writes_wrong_input_to_its_error_file_and_prints_it_if_no_launcher_does(
    launched: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    if launched:
        monkeypatch.setenv("VGG16_LAUNCHED", "1.5")
    words = ["train", "--data", str(tmp_path / "no"), "--results", str(tmp_path / "r"), "--preset", "demo"]
    assert main(words) == HOPELESS
    line = f"{tmp_path}/no/train: no such folder"
    assert json.loads((tmp_path / "error.json").read_text())["message"]["message"] == line
    assert capsys.readouterr().err == ("" if launched else f"error: {line}\n")


def test_what_a_restart_may_cure_has_another_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise Interrupted("rank 0 has lost another one")

    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    monkeypatch.setattr("vgg16.run.train", lost)
    assert main(["train", "--data", str(tmp_path), "--results", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "error: rank 0 has lost another one\n"


def test_ranks_that_ended_because_they_were_asked_to_are_not_started_again(tmp_path: Path) -> None:
    (result,) = as_ranks(1, launched, "exit 143", tmp_path)
    assert result == (143, "")
    assert starts(tmp_path) == ["0", "0"]


def given_notice(script: str, folder: Path) -> tuple[int, str, list[int]]:
    """As `launched`, with the time that torchrun gives its ranks after SIGTERM."""
    from torch.distributed.elastic.multiprocessing.api import SubprocessContext

    close, given = SubprocessContext.close, []

    def closing(context: SubprocessContext, death_sig: signal.Signals, timeout: int) -> None:
        given.append(timeout)
        close(context, death_sig, timeout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SubprocessContext, "close", closing)
        patch.delenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", raising=False)
        return (*launched(script, folder), given)


def test_ranks_get_the_two_minutes_of_a_spot_notice_to_save_and_no_traceback_is_shown(tmp_path: Path) -> None:
    (result,) = as_ranks(
        1,
        given_notice,
        f"""trap 'sleep 0.2; touch {tmp_path}/saved.$RANK; exit 143' TERM; touch {tmp_path}/ready.$RANK
        until [ -e {tmp_path}/ready.0 ] && [ -e {tmp_path}/ready.1 ]; do sleep 0.05; done
        [ $RANK = 1 ] || kill -TERM $PPID
        while :; do sleep 0.05; done""",
        tmp_path,
    )
    assert result == (143, "", [120])
    assert len(list(tmp_path.glob("saved.*"))) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2)")
def test_no_rank_outlives_a_torchrun_that_was_killed() -> None:
    rank = "import time, vgg16.elastic as e; e.end_with_launcher(); print('up', flush=True); time.sleep(600)"
    launcher = f"""import subprocess, sys
subprocess.Popen([sys.executable, "-c", {rank!r}], start_new_session=True).wait()"""
    environment = {"PYTHONPATH": str(Path(vgg16.__file__).parents[1]), "TORCHELASTIC_RUN_ID": "x"}
    command = [sys.executable, "-c", launcher]
    with subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.kill()
        process.stdout.read()  # until the rank has closed it, too: long before it has slept


def deserted() -> str:
    try:
        with joined("cpu") as ranks:
            ranks.sum(torch.ones(1))
            if ranks.rank == 1:
                dist.destroy_process_group()
                raise LookupError
            ranks.sum(torch.ones(1))
    except LookupError:
        return "left"
    except Interrupted as error:
        return str(error)
    return "went on"


def test_a_rank_that_is_left_alone_says_so_in_a_line() -> None:
    assert as_ranks(2, deserted) == ["rank 0 has lost another one in the middle of its work", "left"]
