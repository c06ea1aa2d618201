"""The idle policy, from config.yaml to what the watcher reads: one object, the same names at both ends."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import fields, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_box.config.model import Config, Idle, Limits
from gpu_box.machine import setup, watcher
from gpu_box.model.policy import WatchPolicy
from setup.desired import Desired as OnBox
from tests.paths import REMOTE
from watch import policy as on_box

# Thresholds that no key of the config sets.
OWN = {
    "warn", "settle", "interval", "slow", "probe_timeout", "window", "gpu_window", "gpu_percent", "cpu_cores",
    "disk_bps", "network_bps", "progress_cores", "progress_bps", "guard_after", "stop_command",
    "transfer_bps",
}  # fmt: skip
# The laptop's alone, or sent with the deadline and its marks.
NOT_SENT = {"limits.budget", "limits.forgotten_after"}
OTHER_VALUES: dict[type, Any] = {timedelta: timedelta(hours=3), time: time(21, 45), Decimal: Decimal(7)}
KEYS = [
    (section, each.name)
    for section, of in (("idle", Idle), ("limits", Limits))
    for each in fields(of)
    if f"{section}.{each.name}" not in NOT_SENT
]


def sent(config: Config, market: str = "on-demand") -> dict[str, Any]:
    reported: dict[str, Any] = json.loads(setup.desired(config, market=market).to_json())["policy"]
    return reported


def read(values: dict[str, Any]) -> on_box.Policy:
    found, complaints = on_box.parse(values)
    assert complaints == []
    return found


def deadline_words() -> dict[str, str]:
    """What `watcher.set_deadline` sends."""
    commands: list[str] = []

    def run(command: str, **_: Any) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(exit_status=0, stdout="")

    connection: Any = SimpleNamespace(run=run)
    watcher.set_deadline(connection, datetime(2026, 11, 28, tzinfo=UTC), [(50, datetime.now(UTC))])
    words = shlex.split(commands[0].partition(" watch policy ")[2])
    return dict(word.split("=") for word in words)


def test_laptop_and_watcher_know_the_same_names() -> None:
    from_config, of_session = {each.name for each in fields(WatchPolicy)}, set(deadline_words())
    assert not from_config & of_session
    assert from_config | of_session | OWN == set(on_box.Policy._fields)
    read(deadline_words())


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_each_key_of_the_config_reaches_the_watcher_under_its_own_name(section: str, key: str) -> None:
    config = Config(limits=Limits(stop_at=time(20)))
    old = getattr(getattr(config, section), key)
    changed = replace(getattr(config, section), **{key: OTHER_VALUES[type(old)]})
    before, after = read(sent(config)), read(sent(replace(config, **{section: changed})))
    differ = {name for name in on_box.Policy._fields if getattr(before, name) != getattr(after, name)}
    assert differ == {"idle_after" if (section, key) == ("idle", "after") else key}


def test_defaults_agree_in_the_config_and_at_both_ends() -> None:
    assert setup.desired(Config(), market="on-demand").policy == WatchPolicy()
    assert read(sent(Config())) == on_box.Policy()


def test_only_a_spot_box_looks_for_an_interruption() -> None:
    assert read(sent(Config(), "spot")).notice > 0 == read(sent(Config())).notice


def install(folder: Path, policy: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """As set-up does, but for the watcher itself: `policy` writes the same file by the same function."""
    argv = [sys.executable, "-s", "-m", "watch", "policy", json.dumps(policy)]
    environment = {**os.environ, "GPU_BOX_WATCH": str(folder), "GPU_BOX_MACHINE": "test-policy"}
    return subprocess.run(argv, cwd=REMOTE, env=environment, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(
    "before",
    [
        # As gpu-box wrote it until November 2026, words throughout.
        {
            "idle_after": "900", "stuck_after": "1200", "max_hours": "3", "stop_at": "", "tz": "",
            "notice": "0", "deadline": "1790000000", "budget_marks": "50:1790000000",
        },
        # By a newer one, with a field that this one does not know.
        {"idle_after": 900, "deadline": 1790000000, "budget_marks": [[50, 1790000000]], "moon": "new"},
    ],
)  # fmt: skip
def test_set_up_rewrites_the_file_of_another_version_and_keeps_the_sessions_deadline(
    before: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(before))
    wanted = sent(Config(limits=Limits(stop_at=time(23))))
    done = install(tmp_path, wanted)
    assert done.returncode == 0, done.stderr
    found, complaints = on_box.load(str(file))
    assert complaints == []
    assert found == read(wanted)._replace(deadline=1790000000.0, budget_marks=((50.0, 1790000000.0),))


@pytest.mark.parametrize("broken", ["{", "[1]", "[" * 9999, '{"idle_after": []}'])
def test_set_up_replaces_a_file_that_cannot_be_read(broken: str, tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text(broken)
    assert install(tmp_path, {"max_hours": 3}).returncode == 0
    assert on_box.load(str(tmp_path / "policy.json")) == (on_box.Policy(max_hours=3.0), [])


def test_a_policy_that_makes_no_sense_changes_nothing(tmp_path: Path) -> None:
    install(tmp_path, {"max_hours": 3})
    done = install(tmp_path, {"max_hours": 4, "idle_after": "soon"})
    assert done.returncode == 2
    assert "idle_after='soon'" in done.stderr
    assert on_box.load(str(tmp_path / "policy.json"))[0].max_hours == 3


def test_laptop_and_box_of_different_versions_compare_the_same_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else `status` would call the watcher of such a box not armed."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    config = Config(limits=Limits(stop_at=time(23), max_hours=timedelta(minutes=90)))
    new = json.loads(setup.desired(config, market="spot").to_json())
    # The words that gpu-box sent until November 2026, and an older box has in its record.
    words = [
        "idle_after=1800", "stuck_after=7200", "max_hours=1.5", "stop_at=23:00", "notice=5",
        "tz=Europe/Berlin",
    ]  # fmt: skip
    assert new["watch"] == words
    old = {key: value for key, value in new.items() if key != "policy"}
    assert OnBox.from_json(json.dumps(old)) == OnBox.from_json(json.dumps(new))
