"""Questions before files are sent: a large upload, a second project, files that --delete removes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpu_box.aws.client import Cloud
from gpu_box.box import project, upload
from gpu_box.cli import consent
from gpu_box.cli.context import Options
from gpu_box.config.model import Config, Sync
from gpu_box.errors import InputError

from ..aws.conftest import aws

__all__ = ["aws"]

GB = 10**9


@pytest.fixture
def mine(aws: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "home"))
    return _cloud_of(tmp_path / "mine")


def _cloud_of(folder: Path) -> Cloud:
    folder.mkdir()
    (folder / "config.yaml").write_text("name: ada\n")
    (folder / "a.py").write_text("1")
    config = Config(name="ada", region="us-east-1", path=folder / "config.yaml")
    return Cloud(replace(config, sync=Sync(source=folder, results=folder / "results")))


def _big(folder: Path, name: str, size: int) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)  # takes no space


def _options(*, yes: bool = False) -> Options:
    return Options(config=None, name=None, local=False, json=False, yes=yes, debug=False)


def _unchecked(_: Cloud) -> None:
    """No box is looked at here."""


def test_a_large_upload_is_asked_about_once_with_sizes_times_and_how_to_leave_out(
    mine: Cloud, tmp_path: Path
) -> None:
    ahead = upload.ahead(mine)
    assert ahead and ahead.questions == ()
    _big(tmp_path / "mine", "data/raw/train.bin", GB)
    _big(tmp_path / "mine", "data/raw/valid.bin", GB // 2)
    _big(tmp_path / "mine", "model.pt", 10**7)
    ahead = upload.ahead(mine)
    assert ahead is not None
    [question] = ahead.questions
    assert question.startswith("Up to 1.5 GB would be sent: data/raw (1.5 GB), model.pt (10.0 MB), ")
    assert "20 min at 10 Mbit/s or 2 min at 100 Mbit/s" in question
    assert "sync.exclude in config.yaml, or .gitignore, leaves paths out" in question
    upload.agreed(mine, ahead)
    _big(tmp_path / "mine", "more.bin", GB - 1)
    again = upload.ahead(mine)
    assert again and again.questions == (), "less than 1 GB is new"
    _big(tmp_path / "mine", "more.bin", GB)
    again = upload.ahead(mine)
    assert again and len(again.questions) == 1


def test_without_a_terminal_it_is_refused_before_anything_and_yes_goes_on(
    mine: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _big(tmp_path / "mine", "data.bin", GB)
    with pytest.raises(InputError, match=r"Up to 1\.0 GB .* Pass --yes to agree"):
        consent.before_upload(_options(), mine, _unchecked)
    consent.before_upload(_options(yes=True), mine, _unchecked)
    assert "Up to 1.0 GB" in capsys.readouterr().err
    consent.before_upload(_options(), mine, _unchecked)


def test_another_project_for_the_same_box_is_asked_about_and_down_forgets(
    mine: Cloud, tmp_path: Path
) -> None:
    other = _cloud_of(tmp_path / "other")
    consent.before_upload(_options(), mine, _unchecked)
    with pytest.raises(
        InputError, match=f"the project of {tmp_path}/mine, and would also get that of {tmp_path}/other"
    ):
        consent.before_upload(_options(), other, _unchecked)
    consent.before_upload(_options(yes=True), other, _unchecked)
    consent.before_upload(_options(), other, _unchecked)


def test_a_large_folder_is_listed_once_for_the_question_and_the_upload(mine: Cloud) -> None:
    ahead = upload.ahead(mine)
    assert ahead is not None
    listed = project.selection(mine.config)
    assert "scan" in vars(listed), "listed already"
    assert "scan" not in vars(project.selection(mine.config)), "the next one is listed anew"


def test_what_delete_removes_is_named_before_it_is_removed(
    mine: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"data/{number}.txt" for number in range(40)]
    monkeypatch.setattr("gpu_box.box.work.gone", lambda _: [*names, "evil\x1b]0;x"])
    with pytest.raises(InputError) as refused:
        consent.before_deletion(_options(), [mine])
    said = str(refused.value)
    assert "Remove 41 files from the box: data/0.txt, " in said and " and 11 more? Pass --yes" in said
    assert "\x1b" not in said
    consent.before_deletion(_options(yes=True), [mine])
    monkeypatch.setattr("gpu_box.box.work.gone", lambda _: [])
    consent.before_deletion(_options(), [mine])
