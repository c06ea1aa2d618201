"""torchrun begins anew for what was lost, and not for what only fails again; and says so in a line."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from tests.vgg16.ranked import as_ranks

import vgg16
from vgg16.__main__ import main
from vgg16.elastic import HOPELESS
from vgg16.errors import Interrupted
from vgg16.ranks import joined


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
    """Restarts so far, of each start."""
    return sorted((folder / "starts").read_text().split())


def test_what_a_restart_cannot_cure_fails_at_once_with_its_line(tmp_path: Path) -> None:
    words = "import vgg16.elastic as e; e.leave_word('the loss is no number'); raise SystemExit(e.HOPELESS)"
    script = f'PYTHONPATH={Path(vgg16.__file__).parents[1]} exec {sys.executable} -c "{words}"'
    (result,) = as_ranks(1, launched, script, tmp_path)
    assert result == (1, "error: the loss is no number\n")
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
    told = json.loads((tmp_path / "0").read_text().removeprefix("@progress "))
    assert 1 < told["dollars"] < 60  # a dollar a second


def test_a_rank_lost_again_and_again_ends_it_without_a_traceback(tmp_path: Path) -> None:
    (result,) = as_ranks(1, launched, '[ "$RANK" = 1 ] && kill -9 $$; exec sleep 30', tmp_path)
    assert result[0] == 1
    assert result[1].splitlines() == [
        "rank 1 was lost (SIGKILL): all begin again, after the last finished epoch",
        "error: rank 1 was lost (SIGKILL)",
    ]
    assert starts(tmp_path) == ["0", "0", "1", "1"]


@pytest.mark.parametrize("told_by_launch", [False, True])
def test_a_worker_leaves_word_of_wrong_input_and_says_it_itself_where_nobody_else_will(
    told_by_launch: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    if told_by_launch:
        monkeypatch.setenv("VGG16_LAUNCHED", "1.5")
    words = ["train", "--data", str(tmp_path / "no"), "--results", str(tmp_path / "r"), "--preset", "demo"]
    assert main(words) == HOPELESS
    line = f"{tmp_path}/no/train: no such folder"
    assert json.loads((tmp_path / "error.json").read_text())["message"]["message"] == line
    assert capsys.readouterr().err == ("" if told_by_launch else f"error: {line}\n")


def test_what_a_restart_may_cure_has_another_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise Interrupted("rank 0 has lost another one")

    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    monkeypatch.setattr("vgg16.run.train", lost)
    assert main(["train", "--data", str(tmp_path), "--results", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "error: rank 0 has lost another one\n"


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
