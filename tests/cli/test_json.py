"""`--json`: one value, of the form in docs/schema.json. A box that is set up is in test_story.py."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer

from gpu_box.cli.app import app
from gpu_box.cli.main import main
from gpu_box.cli.results import shapes
from gpu_box.config.model import Limits
from tests.paths import ROOT

from .. import schema
from ..aws.conftest import Laptop, Weather, aws, laptop, weather

__all__ = ["aws", "laptop", "weather"]

Command = Callable[..., Any]
# They attach to the box, or print another program's text.
_WITHOUT = {"ssh", "tmux", "policy", "aliases", "skill", "local", "help"}


@pytest.fixture
def mine(laptop: Callable[..., Laptop]) -> Laptop:
    return laptop(region="us-east-1", limits=Limits(budget=Decimal(50)))


@pytest.fixture
def command(
    mine: Laptop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """`command("plan")`: the value that it prints, checked against its schema; `code=2`: of a failure."""
    path = tmp_path / "config.yaml"
    path.write_text(
        f"name: {mine.config.name}\nregion: us-east-1\nssh: {{key: {mine.config.ssh.key}, config: false}}\n"
        "network: {allow_ssh_from: [127.0.0.1]}\nlimits: {budget: 50}\n"
    )
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0, failed: bool = False) -> Any:
        capsys.readouterr()
        assert main(["--config", str(path), "--json", *words]) == code
        return schema.held(words, capsys.readouterr().out, failed=failed)

    yield run


def test_the_schema_is_that_of_the_code() -> None:
    answer = runpy.run_path(str(ROOT / "docs" / "schema.py"))["document"](shapes())
    jsonschema.Draft202012Validator.check_schema(answer)
    assert schema.known() == answer, "run `python docs/pages.py`, and look at what has changed"


def test_every_command_with_a_result_has_its_schema() -> None:
    group: Any = typer.main.get_command(app)
    inner = {f"local {name}" for name in group.get_command(typer.Context(group), "local").commands}
    assert set(group.commands) - _WITHOUT | inner == set(shapes()) - {"any command that fails"}


def test_before_there_is_a_box(command: Command, mine: Laptop) -> None:
    steps = [step["title"] for step in command("plan")["steps"]]
    assert "instance" in " ".join(steps)
    assert command("status")["state"] == "none"
    assert command("why")["state"] == "none"
    assert command("stop")["usd_month_stopped"] is None
    assert command("down", "--yes") == {"box": mine.config.name, "state": "none", "left": []}
    assert command("cost")["state"] == "none"
    assert isinstance(command("ls"), list)
    assert {check["name"] for check in command("doctor", code=_found_wanting())} >= {"quota", "address"}
    (mine.config.ssh.key.parent / "other").mkdir()
    assert command("init", "--force", "--name", "other")["budget"] == "50"


def _found_wanting() -> int:
    """`doctor` on a computer without ssh."""
    import shutil

    return 0 if shutil.which("ssh") else 1


def test_of_a_box_that_is_there(command: Command, mine: Laptop, weather: Weather) -> None:
    mine.up()
    answer = command("status")
    assert (answer["state"], answer["usd_budget"]) == ("running", "50")
    assert Path(answer["config"]).name == "config.yaml"
    [listed] = [box for box in command("ls") if box["box"] == mine.config.name]
    assert listed["state"] == "running"
    assert listed["usd_hour"] == command("status")["usd_hour"], "one figure for an hour"
    assert command("plan")["steps"] == []
    assert command("cost")["usd_hour"] is not None
    assert any(one["box"] == mine.config.name for one in command("sweep")["found"])
    assert command("stop")["state"] == "stopped"
    assert command("resize", "g4dn.2xlarge", "--yes")["type"] == "g4dn.2xlarge"
    assert command("why")["stopped"]["layer"] == "command"
    weather(quotas={"L-DB2E81BA": 0})
    [asked] = command("doctor", "--request-quota", "--yes")
    assert asked["request"]["status"] == "PENDING"
    assert command("down", "--yes")["left"] == []


def test_the_embedded_cloud_tells_of_itself(command: Command) -> None:
    assert command("local", "status")["running"] is False
    assert command("local", "env")["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert command("local", "status")["boxes"] == 0
    assert command("local", "stop") == {"stopped": True}


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        (["run", "--", "true"], "CloudError", 1),
        (["keep"], "InputError", 2),
        (["--config", "absent.yaml", "plan"], "InputError", 2),
        (["status", "--nonsense"], "InputError", 2),
    ],
)
def test_a_failure_is_an_object_with_its_exit_code(
    command: Command, words: list[str], kind: str, code: int
) -> None:
    error = command(*words, code=code, failed=True)["error"]
    assert (error["kind"], error["exit_code"]) == (kind, code)


def test_what_the_schema_does_not_know_is_found() -> None:
    with pytest.raises(jsonschema.ValidationError):
        schema.held(["local", "stop"], json.dumps({"stopped": True, "since": 1}))
