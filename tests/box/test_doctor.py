"""`doctor`: each line is ok or has a remedy; checks create nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gpu_box.aws.client import Cloud
from gpu_box.aws.doctor import check_clock, check_image
from gpu_box.box import doctor
from gpu_box.cli.main import main
from gpu_box.config.model import Network
from gpu_box.machine.ssh.keys import ensure_key_pair
from gpu_box.model.check import Check
from gpu_box.model.observed import Launchable

from ..aws.conftest import Laptop, Weather

G = "L-DB2E81BA"
NOON = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
DATED = "Sun, 01 Nov 2026 12:00:00 GMT"


@pytest.fixture(autouse=True)
def _tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH with ssh and rsync."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("ssh", "rsync"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def checks_of(mine: Laptop) -> dict[str, Check]:
    return {check.name: check for check in doctor.examine(Cloud(mine.config))}


def test_where_all_is_well_every_line_says_so(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    checks = checks_of(mine)
    assert all(check.ok for check in checks.values())
    assert list(checks) == [
        "credentials", "clock", "plan", "launch", "image", "permissions", "deadline", "prices", "quota",
        "address", "key", "ssh", "rsync",
    ]  # fmt: skip
    assert "default VPC; image Deep Learning" in checks["launch"].line
    assert checks["permissions"].line == (
        "reading, and by DryRun RunInstances, CreateSecurityGroup, ImportKeyPair; RunInstances is certain "
        "only once the box has its security group"
    )
    assert checks["prices"].line == "$0.542 an hour (live, today)"
    assert mine.observe().nothing_left


def test_of_a_box_that_is_there_stopping_and_removing_are_tried_too(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    mine.up()
    assert "StartInstances, StopInstances, TerminateInstances" in checks_of(mine)["permissions"].line
    assert mine.observe().instance is not None


def test_without_credentials_nothing_more_is_asked_of_aws(
    laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = laptop()
    with monkeypatch.context() as env:
        env.delenv("AWS_ACCESS_KEY_ID")
        env.delenv("AWS_SECRET_ACCESS_KEY")
        checks = checks_of(mine)
    assert list(checks) == ["credentials", "address", "key", "ssh", "rsync"]
    assert not checks["credentials"].ok
    assert "aws configure" in checks["credentials"].remedy


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId"])
def test_refused_credentials_are_reported_with_the_clock(
    laptop: Callable[..., Laptop], weather: Weather, code: str
) -> None:
    weather(faults=[{"service": "sts", "operation": "*", "code": code, "status": 403, "times": 0}])
    checks = checks_of(laptop())
    assert not checks["credentials"].ok
    assert checks["clock"].ok, "the answer was dated, though it was a refusal"


@pytest.mark.parametrize(
    ("sent", "took", "line"),
    [
        (0, 0, "agrees with AWS's"),
        (0, 90, "agrees with AWS's"),  # the answer was slow, the clock is right
        (-90, 100, "agrees with AWS's"),
        (59, 0, "agrees with AWS's"),
        (-3600, 1, "this computer's clock is 59 min behind AWS's"),
        (601, 1, "this computer's clock is 10 min ahead of AWS's"),
    ],
)
def test_the_clock_is_held_to_the_date_of_aws_s_answer(sent: int, took: int, line: str) -> None:
    """sent: seconds that this clock is off; took: seconds until the answer arrived."""
    start = NOON + timedelta(seconds=sent)
    check = check_clock(start, start + timedelta(seconds=took), DATED)
    assert check.line == line
    assert check.ok is (line == "agrees with AWS's")


def test_a_quota_that_is_too_small_is_named(laptop: Callable[..., Laptop], weather: Weather) -> None:
    weather(quotas={G: 0})
    quota = checks_of(laptop())["quota"]
    assert not quota.ok
    assert quota.line == (
        "g4dn.xlarge (on-demand): 0 + 4 of 0 vCPUs of 'Running On-Demand G and VT instances' (L-DB2E81BA)"
    )
    assert "--request-quota" in quota.remedy


def test_the_free_plan_is_reported_with_a_remedy(laptop: Callable[..., Laptop], weather: Weather) -> None:
    weather(plan="FREE")
    plan = checks_of(laptop())["plan"]
    assert not plan.ok
    assert "Free plan" in plan.line and "Paid plan" in plan.remedy


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_of_a_plan_that_aws_does_not_tell_nothing_is_said(
    laptop: Callable[..., Laptop], weather: Weather, code: str
) -> None:
    weather(plan="FREE", faults=[{"service": "freetier", "operation": "*", "code": code, "times": 0}])
    checks = checks_of(laptop())
    assert "plan" not in checks and checks["launch"].ok


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("an explicit deny in a service control policy", "service control policy of your organisation"),
        ("an explicit deny in a permissions boundary", "a permissions boundary does not allow"),
    ],
)
def test_permissions_that_another_policy_takes_away_are_not_asked_of_ours(
    laptop: Callable[..., Laptop], weather: Weather, where: str, why: str
) -> None:
    message = (
        "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/ada is "
        "not authorized to perform: ec2:RunInstances on resource: arn:aws:ec2:us-east-1::image/ami-1 "
        f"with {where}"
    )
    denied = {"operation": "RunInstances", "code": "UnauthorizedOperation", "message": message, "times": 0}
    weather(faults=[denied])
    check = checks_of(laptop())["permissions"]
    assert why in check.line and where in check.line
    assert "administrators" in check.remedy and "Ask for the permissions" not in check.remedy


def test_what_is_not_permitted_is_named(laptop: Callable[..., Laptop], weather: Weather) -> None:
    denied = {"code": "UnauthorizedOperation", "status": 403, "times": 0}
    weather(faults=[{"operation": "RunInstances", **denied}, {"operation": "ImportKeyPair", **denied}])
    check = checks_of(laptop())["permissions"]
    assert not check.ok
    assert "(ImportKeyPair)" in check.line and "(RunInstances)" in check.line
    assert "gpu-box policy" in check.remedy


def test_a_missing_read_permission_is_reported_and_the_rest_is_checked(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    weather(faults=[{"operation": "DescribeVolumes", "code": "UnauthorizedOperation", "times": 0}])
    checks = checks_of(laptop())
    assert not checks["permissions"].ok
    assert checks["launch"].ok and checks["deadline"].ok


def test_a_deadline_that_cannot_be_armed_is_reported(laptop: Callable[..., Laptop], weather: Weather) -> None:
    message = (
        "User: arn:aws:iam::123456789012:user/ada is not authorized to perform: scheduler:GetSchedule on "
        "resource: arn:aws:scheduler:us-east-1:123456789012:schedule/default/gpu-box-box because no "
        "identity-based policy allows the scheduler:GetSchedule action"
    )
    denied = {"code": "AccessDeniedException", "message": message, "status": 403, "times": 0}
    weather(faults=[{"service": "scheduler", "operation": "GetSchedule", **denied}])
    check = checks_of(laptop())["deadline"]
    assert not check.ok
    assert "scheduler:GetSchedule" in check.line


def test_a_missing_subnet_is_reported(laptop: Callable[..., Laptop]) -> None:
    wrong = laptop(network=Network(subnet=("subnet-00000000000000000",)))
    check = checks_of(wrong)["launch"]
    assert not check.ok
    assert check.line.startswith("network.subnet: no subnet subnet-0")


def test_a_key_that_others_may_read_is_reported_with_a_remedy(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    key = mine.config.ssh.key
    key.unlink(missing_ok=True)
    assert checks_of(mine)["key"].line == f"`up` creates {key}"
    ensure_key_pair(key)
    assert checks_of(mine)["key"].ok
    key.chmod(0o644)
    check = checks_of(mine)["key"]
    assert not check.ok
    assert check.remedy == f"Run: chmod 600 {key}"
    key.chmod(0o600)  # which mends it; the box is removed with it afterwards
    assert checks_of(mine)["key"].ok


def test_without_ssh_there_is_no_way_in_without_rsync_a_slower_one(
    laptop: Callable[..., Laptop], _tools: Path
) -> None:
    for name in ("ssh", "rsync"):
        (_tools / name).unlink()
    checks = checks_of(laptop())
    assert not checks["ssh"].ok
    assert checks["rsync"].ok and "SFTP" in checks["rsync"].remedy


@pytest.fixture
def config(laptop: Callable[..., Laptop], tmp_path: Path) -> list[str]:
    mine = laptop(region="us-east-1")
    path = tmp_path / "config.yaml"
    path.write_text(
        f"name: {mine.config.name}\nssh: {{key: {mine.config.ssh.key}}}\n"
        "network: {allow_ssh_from: [127.0.0.1]}\n"
    )
    return ["--config", str(path)]


def test_its_exit_code_says_whether_all_is_well(
    config: list[str], weather: Weather, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*config, "doctor"]) == 0
    shown = capsys.readouterr().out
    assert "ok  quota        g4dn.xlarge (on-demand): 0 + 4 of" in shown
    weather(quotas={G: 0})
    assert main([*config, "doctor", "--json"]) == 1
    lines = json.loads(capsys.readouterr().out)
    assert [line["name"] for line in lines if not line["ok"]] == ["quota"]


def test_a_missing_quota_is_asked_for_once_and_only_with_consent(
    config: list[str], weather: Weather, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*config, "doctor", "--request-quota"]) == 0
    assert capsys.readouterr().out == "No quota is missing: nothing is requested.\n"
    weather(quotas={G: 0})
    assert main([*config, "doctor", "--request-quota"]) == 2
    assert "Pass --yes" in capsys.readouterr().err
    assert main([*config, "doctor", "--request-quota", "--yes"]) == 0
    assert "requested 4 vCPUs (pending, " in capsys.readouterr().out
    assert main([*config, "doctor", "--request-quota", "--yes", "--json"]) == 0
    [made] = json.loads(capsys.readouterr().out)
    assert (made["code"], made["request"]["new"]) == (G, False)


def test_the_policy_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy"]) == 0
    assert json.loads(capsys.readouterr().out)["Version"] == "2012-10-17"


def launchable(*, deprecated: datetime | None) -> Launchable:
    return Launchable(
        image_id="ami-1",
        image_name="Ubuntu",
        image_created=NOON - timedelta(days=700),
        image_deprecated=deprecated,
        root_device="/dev/sda1",
        min_disk_gib=8,
        vpc_id="vpc-1",
        placements=(),
    )


@pytest.mark.parametrize(
    ("deprecated", "line"),
    [
        (None, "700 d old"),
        (NOON + timedelta(days=31), "700 d old"),
        (NOON + timedelta(days=29), "700 d old, deprecated from 2026-11-30"),
        (NOON, "700 d old, deprecated since 2026-11-01"),
    ],
)
@pytest.mark.parametrize("chosen", [False, True])
def test_an_image_that_aws_calls_out_of_date_is_a_warning_with_a_way_out(
    deprecated: datetime | None, line: str, chosen: bool
) -> None:
    [check] = check_image(launchable(deprecated=deprecated), chosen=chosen, now=NOON)
    assert (check.ok, check.line) == (True, line)
    assert bool(check.remedy) == ("deprecated" in line)
    if check.remedy:
        assert ("image.id" in check.remedy) == chosen


def test_the_age_of_the_image_is_the_one_that_aws_tells(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    [raw] = [
        i for i in mine.cloud.ec2.describe_images(Owners=["898082745236"])["Images"] if "24.04" in i["Name"]
    ]
    created, until = (datetime.fromisoformat(raw[key]) for key in ("CreationDate", "DeprecationTime"))
    assert until - created == timedelta(days=730), "as for every public image"
    check = checks_of(mine)["image"]
    assert check.line.startswith(f"{(datetime.now(UTC) - created).days} d")
