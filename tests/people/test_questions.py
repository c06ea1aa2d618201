"""A question comes last: what can be refused is refused before it, so that an answer is never in vain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gpu_box.box import running_jobs
from gpu_box.cli.context import Options
from gpu_box.cli.main import main
from gpu_box.model.observed import InstanceState

from ..aws.conftest import Laptop, aws, laptop
from .conftest import Desk

__all__ = ["aws", "laptop"]


class Asked(list[str]):
    """The questions; each is answered with no."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    questions = Asked()
    monkeypatch.setattr(Options, "can_ask", property(lambda self: not self.yes))
    monkeypatch.setattr(Options, "agrees", lambda _, question: bool(questions.append(question)))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    return questions


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`project(mine, "boxes: 2")`: a large project whose config is that of the laptop, with more lines."""
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "home"))

    def make(mine: Laptop, more: str = "", *, large: bool = True) -> Path:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(
            f"name: {mine.config.name}\nregion: {mine.cloud.region}\n"
            f"ssh: {{key: {mine.config.ssh.key}, config: false}}\n"
            f"network: {{allow_ssh_from: [127.0.0.1]}}\n{more}\n"
        )
        with (folder / "data.bin").open("wb") as file:
            file.truncate(2 * 10**9 if large else 1)
        monkeypatch.chdir(folder)
        return folder

    return make


@pytest.fixture
def adas_box(laptop: Callable[..., Laptop], project: Callable[..., Path]) -> Callable[..., Laptop]:
    """`adas_box("boxes: 2")`: Ada's running box, and Bob's project with a config that names it."""

    def make(more: str = "") -> Laptop:
        ada = laptop(owner="ada")
        ada.up()
        project(ada, f"owner: bob\n{more}")
        return ada

    return make


@pytest.mark.parametrize(
    "words",
    [["run", "--then", "down", "--", "true"], ["train", "--then", "down"], ["sync"], ["sync", "--delete"]],
)
def test_without_a_box_there_is_no_question(
    laptop: Callable[..., Laptop],
    project: Callable[..., Path],
    asked: Asked,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    project(laptop())
    assert main(words) == 1
    assert "there is no box" in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("env_file: absent", "cannot be read"),
        ("env: [NOT_SET_ANYWHERE]", "no value for NOT_SET_ANYWHERE"),
        ("boxes: 2\nenv: [NOT_SET_ANYWHERE]", "no value for NOT_SET_ANYWHERE"),
    ],
)
def test_a_bad_variable_is_refused_before_the_question_about_an_upload_and_before_any_box(
    laptop: Callable[..., Laptop],
    project: Callable[..., Path],
    asked: Asked,
    capsys: pytest.CaptureFixture[str],
    more: str,
    said: str,
) -> None:
    mine = laptop()
    project(mine, more)
    for words in (["up"], ["--yes", "up"]):
        assert main(words) == 2
        assert said in " ".join(capsys.readouterr().err.split())
    assert asked == []
    assert mine.observe().nothing_left


@pytest.mark.parametrize("words", [["up"], ["bake"], ["bake", "--remove"], ["move"]])
def test_another_owner_s_box_is_refused_before_the_question(
    adas_box: Callable[..., Laptop],
    asked: Asked,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    ada = adas_box()
    if words == ["move"]:
        ada.stop()
    assert main(words) == 1
    assert "ada has a box named" in capsys.readouterr().err
    assert asked == []


def test_stop_of_another_owner_s_box_does_not_ask_for_its_jobs(laptop: Callable[..., Laptop]) -> None:
    laptop(owner="ada").up()
    [found] = running_jobs.find([(laptop(owner="bob").cloud, None)], patience_s=60)
    assert found.names is None


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [("", "g9.huge", "g9.huge"), ("boxes: 2", "g5.xlarge", "one box at a time")],
)
def test_a_resize_that_cannot_be_is_refused_before_the_question_of_force(
    adas_box: Callable[..., Laptop],
    asked: Asked,
    capsys: pytest.CaptureFixture[str],
    more: str,
    kind: str,
    said: str,
) -> None:
    adas_box(more)
    assert main(["resize", kind, "--force"]) == 2
    assert said in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize(
    ("stopped", "span", "said"), [(True, "1h", "is stopped"), (False, "20d", "the budget ends at")]
)
def test_a_limited_run_that_cannot_be_extended_is_refused_before_the_question(
    laptop: Callable[..., Laptop],
    project: Callable[..., Path],
    asked: Asked,
    capsys: pytest.CaptureFixture[str],
    stopped: bool,
    span: str,
    said: str,
) -> None:
    mine = laptop(run_for=timedelta(hours=3), run_usd=Decimal(5))
    mine.up()
    if stopped:
        instance = mine.stop().instance
        assert instance and instance.state is InstanceState.STOPPED
    project(mine, "limits: {budget: 20}")
    assert main(["extend", span]) in (1, 2)
    assert said in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize("path", ["absent/config.yaml", "."])
def test_init_refuses_a_place_where_it_cannot_write_before_its_questions(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: Asked,
    capsys: pytest.CaptureFixture[str],
    path: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: asked.append("prompt"))
    assert main(["--config", path, "init"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--job", "taken", "--then", "down", "--", "true"], "job taken is running since"),
        (["run", "--job", "-x", "--then", "down", "--", "true"], "cannot be a job's name"),
        (["train", "--then", "down"], "job train is running since"),
    ],
)
def test_a_job_that_cannot_start_is_refused_before_the_question_whether_to_remove_its_box(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    asked: Asked,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(desk.folder)
    for name in ("taken", "train"):
        if name not in {one["name"] for one in desk.json("jobs")}:
            desk.run("run", "--detach", "--job", name, "--", "sleep 600")
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--region", "us-east-9"], "AWS has no region 'us-east-9'"),
        (["--region", "us-east-1", "--type", "g4dn.xlrage"], "AWS has no instance type 'g4dn.xlrage'"),
    ],
)
@pytest.mark.parametrize("path", ["config.yaml", "../config.yaml"])
def test_init_refuses_what_aws_does_not_have_before_it_asks_about_a_config_that_is_there(
    aws: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: Asked,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
    path: str,
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "home"))
    Path(path).write_text("name: mine\n")
    assert main(["init", *words]) == 2
    assert said in capsys.readouterr().err
    assert asked == []
    assert Path(path).read_text() == "name: mine\n"
