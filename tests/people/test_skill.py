"""`gpu-box skill`: every command that a coding agent finds there, typed in its order, without a terminal."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from gpu_box.cli.main import main
from tests.paths import ROOT

from .. import schema
from ..user import COMMAND, CONFIG, User

SKILL = (ROOT / "src" / "gpu_box" / "cli" / "SKILL.md").read_text()
COMMANDS = [
    line.removeprefix("$ gpu-box ")
    for block in re.findall(r"^```console\n(.*?)^```$", SKILL, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


@pytest.mark.timeout(900)
def test_its_commands_lead_from_a_task_to_results_and_a_stopped_box(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "config.yaml").write_text("name: by-agent\n" + CONFIG)
    (folder / "train.py").write_text(
        "import os\nopen('results/loss.txt', 'w').write('0.1')\n"
        "os.makedirs('ckpt', exist_ok=True)\nopen('ckpt/last.pt', 'w').write('1')\n"
    )
    user = User(folder, {**os.environ, "GPU_BOX_HOME": str(tmp_path / "home")}, patience_s=800)
    answers = {}
    try:
        for line in COMMANDS:
            done = subprocess.run(
                ["bash", "-c", f'"{COMMAND}" --local {line}'],
                cwd=folder,
                env=user.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=800,
            )
            without_ssh = line == "--json doctor" and not shutil.which("ssh")
            assert done.returncode == int(without_ssh), f"{line}\n{done.stdout}\n{done.stderr}"
            words = line.partition(" -- ")[0].split()
            answers[line] = schema.held(words, done.stdout)
            if words[1] == "up":
                _the_run_is_limited(user, answers[line])
        assert answers["--json run --job check -- python -c \"print('ready')\""]["log"] == "ready\n"
        assert answers["--json logs train"]["exit_status"] == 0
        assert answers["--json stop"]["state"] == "stopped"
        assert (folder / "results" / "loss.txt").read_text() == "0.1"
        assert [job["name"] for job in answers["--json jobs"]] == ["check", "train", "train-2", "train-3"]
        assert answers["--json logs train-3"]["exit_status"] == 0
        assert answers["--json cancel train-2"]["was"] == "done"
        assert (folder / "ckpt" / "last.pt").read_text() == "1", "as --pull asked"
    finally:
        subprocess.run([COMMAND, "local", "stop"], env=user.environment, check=True, capture_output=True)


def _the_run_is_limited(user: User, up: dict[str, str]) -> None:
    """What the skill says of it: AWS's deadline, and `extend` that exits with 2."""
    left = datetime.fromisoformat(up["deadline"]) - datetime.now(UTC)
    assert timedelta(hours=2) < left <= timedelta(hours=3, minutes=1)
    assert "only a person may extend it" in user.run("--yes", "extend", "1h", expect=2).stderr


def test_it_is_a_skill_with_a_name_and_a_description() -> None:
    """Agent Skills specification: name of 64 lower-case letters, digits and hyphens; description of 1024."""
    _, front, text = SKILL.split("---\n", 2)
    fields = yaml.safe_load(front)
    assert re.fullmatch(r"[a-z0-9-]{1,64}", fields["name"])
    assert 0 < len(fields["description"]) <= 1024 and "<" not in fields["description"]
    assert len(text.splitlines()) < 500


def test_every_exit_code_and_command_of_the_text_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["skill"]) == 0
    assert capsys.readouterr().out == SKILL
    for name in set(re.findall(r"`gpu-box (?:--json )?([a-z]+)", SKILL)) | {
        line.split()[1] for line in COMMANDS
    }:
        assert main(["help", name]) == 0, name
        capsys.readouterr()
