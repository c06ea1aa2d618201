"""Tags and schedules edited by hand: only their box is refused, and it can be stopped and removed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_box.aws import tags
from gpu_box.box import find
from gpu_box.cli.main import main
from gpu_box.errors import CloudError
from gpu_box.model.observed import InstanceState

from .. import schema
from .conftest import Laptop, Owner
from .test_instance import EDITED

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """`say(laptop, "stop")`: a command for that laptop's box; its exit code, output and notes."""

    def typed(mine: Laptop, *words: str) -> tuple[int, str, str]:
        path = tmp_path / f"{mine.config.name}.yaml"
        path.write_text(
            f"name: {mine.config.name}\nregion: us-east-1\n"
            f"ssh: {{key: {mine.config.ssh.key}, config: false}}\n"
            "network: {allow_ssh_from: [127.0.0.1]}\n"
        )
        capsys.readouterr()
        code = main(["--config", str(path), *words])
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        return code, output.out, " ".join(output.err.split())

    return typed


@pytest.fixture
def other(laptop: Callable[..., Laptop]) -> Any:
    """Another user's box in the same region."""
    box = laptop(name=f"other-{secrets.token_hex(3)}", region="us-east-1")
    box.up()
    yield box
    box.down()


def edit(owner: Owner, mine: Laptop, key: str, value: str) -> str:
    instance = mine.observe().instance
    assert instance is not None
    owner("ec2").create_tags(Resources=[instance.id], Tags=[{"Key": key, "Value": value}])
    return instance.id


def test_whatever_a_tag_holds_only_its_box_is_concerned(
    laptop: Callable[..., Laptop], owner: Owner, other: Laptop, say: Say
) -> None:
    mine = laptop(region="us-east-1")
    mine.up()
    ec2 = owner("ec2")
    for key, value in EDITED:
        kept = ec2.describe_tags(Filters=[{"Name": "key", "Values": [key]}])["Tags"]
        instance_id = edit(owner, mine, key, value)
        seen = mine.observe().instance
        assert seen is not None and [key in one.what for one in seen.unreadable] == [True]
        theirs = other.observe()
        assert theirs.instance is not None and theirs.instance.unreadable == ()
        ec2.delete_tags(Resources=[instance_id], Tags=[{"Key": key}])
        if before := [tag["Value"] for tag in kept if tag["ResourceId"] == instance_id]:
            edit(owner, mine, key, before[0])
    edit(owner, mine, tags.SSH_PORT, "n/a")
    code, output, noted = say(other, "ls")
    assert code == 0 and mine.config.name[:8] in output and other.config.name[:8] in output
    assert (
        f"{mine.config.name} ({instance_id}): its tag gpu-box:ssh-port is 'n/a': not a whole number" in noted
    )
    rows = {row["box"]: row for row in schema.held(["ls"], say(other, "ls", "--json")[1])}
    assert rows[other.config.name]["notices"] == []
    assert "delete-tags" in rows[mine.config.name]["notices"][0]
    assert say(other, "stop")[0] == 0
    code, output, _ = say(other, "sweep", "--json")
    assert code == 0
    assert any("gpu-box:ssh-port" in found["note"] for found in json.loads(output)["found"])


@pytest.mark.parametrize(("key", "value"), [(tags.SSH_PORT, "n/a"), (tags.HOST_KEY, "garbage")])
def test_a_box_with_a_broken_tag_is_shown_refused_stopped_and_removed(
    laptop: Callable[..., Laptop], owner: Owner, say: Say, key: str, value: str
) -> None:
    mine = laptop(region="us-east-1")
    mine.up()
    instance_id = edit(owner, mine, key, value)
    status = json.loads(say(mine, "status", "--json")[1])
    assert [key in notice for notice in status["notices"]] == [True]
    for command in (["up"], ["ssh", "--", "true"], ["resize", "g5.xlarge"], ["bake"]):
        code, _, noted = say(mine, *command)
        assert code == 1, command
        assert f"{instance_id}: box '{mine.config.name}': its tag {key} is '{value}'" in noted
    seen = mine.observe().instance
    assert seen is not None and seen.state is InstanceState.RUNNING, "no command stopped it on its way"
    assert say(mine, "stop")[0] == 0
    seen = mine.observe().instance
    assert seen is not None and seen.state is InstanceState.STOPPED
    edit(owner, mine, key, value)  # the embedded cloud writes its port again
    assert say(mine, "up")[0] == 1, "and it is not started to be refused then"
    assert say(mine, "down", "--yes")[0] == 0
    assert mine.observe().nothing_left


def test_a_deadline_disabled_by_hand_is_reported_and_armed_again(
    laptop: Callable[..., Laptop], owner: Owner, say: Say
) -> None:
    mine = laptop(region="us-east-1")
    mine.up()
    scheduler, name = owner("scheduler"), tags.resource_name(mine.config)
    armed = scheduler.get_schedule(Name=name)
    kept = ("ScheduleExpression", "FlexibleTimeWindow", "Target", "ActionAfterCompletion")
    scheduler.update_schedule(Name=name, State="DISABLED", **{key: armed[key] for key in kept})
    output = say(mine, "status")[1]
    assert "was changed by hand: it is DISABLED; `gpu-box " in " ".join(output.split())
    deadline = mine.up().deadline
    assert deadline is not None and not deadline.broken
    assert scheduler.get_schedule(Name=name)["State"] == "ENABLED"


def test_a_schedule_that_cannot_be_read_hinders_neither_stop_nor_down(
    laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = laptop()
    mine.up()

    def edited(parsed: dict[str, Any], **_: Any) -> None:
        if "Target" in parsed:
            parsed["Target"]["Input"] = "n/a"

    mine.cloud.client("scheduler").meta.events.register("after-call.scheduler.GetSchedule", edited)
    assert mine.stop().instance is not None
    assert mine.down().nothing_left


def test_a_state_that_is_new_does_not_keep_a_box_from_being_stopped(
    laptop: Callable[..., Laptop],
) -> None:
    mine = laptop()
    first = mine.up().instance
    assert first is not None

    def renamed(parsed: dict[str, Any], **_: Any) -> None:
        for reservation in parsed.get("Reservations", []):
            for instance in reservation["Instances"]:
                if instance["State"]["Name"] == "running":
                    instance["State"] = {"Code": 99, "Name": "dozing"}

    mine.cloud.ec2.meta.events.register("after-call.ec2.DescribeInstances", renamed)
    with pytest.raises(CloudError, match="EC2 reports the state 'dozing'"):
        mine.up()
    with pytest.raises(CloudError, match="is unknown"):
        find.host_of(mine.config, mine.observe())
    stopped = mine.stop().instance
    assert stopped is not None and stopped.state is InstanceState.STOPPED
