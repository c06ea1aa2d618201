"""`plan` as text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

from gpu_box.aws.prices.prices import price_of
from gpu_box.box.preview import Plan
from gpu_box.config.model import Config, Limits
from gpu_box.model.observed import Launch, Launchable, Placement
from gpu_box.model.price import Price
from gpu_box.model.results import PlannedStep
from gpu_box.plan.steps import (
    ArmDeadline,
    CreateDeadlineRole,
    CreateSecurityGroup,
    ImportKeyPair,
    RunInstance,
    StartInstance,
    Step,
    Terminate,
)
from gpu_box.view.receipt import receipt, stop_lines

from .conftest import Draw

CONFIG = Config()
IPV6 = "2001:db8:1234:5678:9abc:def0:1234:5678/128"
LAUNCHABLE = Launchable(
    image_id="ami-0123456789abcdef0",
    image_name="Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) 20260801",
    root_device="/dev/sda1",
    min_disk_gib=35,
    vpc_id="vpc-1",
    placements=tuple(
        Placement(type="g4dn.xlarge", zone=f"eu-west-1{z}", subnet_id="subnet-1") for z in "abc"
    ),
)
FROM_NOTHING: list[Step] = [
    RunInstance(launch=Launch(generation="g", public_key="k", user_data=""), launchable=LAUNCHABLE),
    ImportKeyPair(public_key="k"),
    CreateSecurityGroup(
        generation="g", vpc_id="vpc-1", ssh_from=(ip_network("203.0.113.7/32"), ip_network(IPV6))
    ),
    CreateDeadlineRole(),
]


def receipt_of(
    config: Config, *, region: str, instance_type: str, steps: list[Step], price: Price, **more: Any
) -> Any:
    plan = Plan(
        box=config.name,
        region=region,
        instance_type=instance_type,
        steps=tuple(PlannedStep(mark=s.mark, title=s.title, line=str(s), stage=s.stage) for s in steps),
        usd_hour=price.hour,
        usd_hour_on_demand=price.hour_on_demand,
        usd_month_stopped=price.disk_month,
        prices=price.source,
        missing_quota=None,
        foreign_rules=(),
        config=None,
        limits_kept=(),
        rules=config,
        stops_at=None,
        gpu=str(price.gpu or ""),
        nvme_gb=price.gpu.nvme_gb if price.gpu else None,
    )
    return receipt(replace(plan, **more))


def test_from_nothing_with_names_as_long_as_aws_s_own(draw: Draw) -> None:
    price = price_of("g4dn.xlarge", "eu-west-1", CONFIG.disk)
    shown = draw(
        receipt_of(CONFIG, region="eu-west-1", instance_type="g4dn.xlarge", steps=FROM_NOTHING, price=price)
    )
    assert (
        shown
        == """\
gpu-box in eu-west-1: g4dn.xlarge, T4 (16 GiB), 4 vCPUs, 16 GiB

  + key pair        your public key, so that only you get in
  + security group  port 22 from 203.0.113.7/32,
                    2001:db8:1234:5678:9abc:def0:1234:5678/128, nothing else
  + deadline role   may stop boxes in this region and nothing else
  + instance        g4dn.xlarge in eu-west-1a, or one of 2 other placements,
                    Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04)
                    20260801

  an hour running               $0.542
  a month stopped (disk)         $8.00
  prices: us-east-1 table of 2026-07, which eu-west-1 may differ from

  stops itself when idle for 30 min
  stopped by AWS 12 h after its start, whatever happens
  ~/scratch is 125 GB of local NVMe, erased at every stop"""
    )


def test_from_stopped_the_deadline_is_armed_before_the_start(draw: Draw) -> None:
    steps: list[Step] = [
        StartInstance(instance_id="i-0123456789abcdef0", type="g4dn.xlarge", zone="us-east-1a"),
        ArmDeadline(
            at=datetime(2026, 8, 1, 23, tzinfo=UTC),
            instance_id="i-0",
            exists=True,
        ),
        Terminate(instance_id="i-00000000000000000", why="a second one of this box"),
    ]
    price = price_of("g4dn.xlarge", "us-east-1", CONFIG.disk)
    shown = draw(
        receipt_of(CONFIG, region="us-east-1", instance_type="g4dn.xlarge", steps=steps, price=price)
    )
    assert shown.splitlines()[2:5] == [
        "  - instance  i-00000000000000000: a second one of this box",
        "  ~ deadline  AWS stops it at Sat 23:00, whatever the box does",
        "  > instance  i-0123456789abcdef0: start, with its disk",
    ]


def test_of_a_type_without_a_known_price_that_is_said(draw: Draw) -> None:
    price = price_of("m7i.large", "us-east-1", CONFIG.disk)
    shown = draw(receipt_of(CONFIG, region="us-east-1", instance_type="m7i.large", steps=[], price=price))
    assert (
        shown
        == """\
gpu-box in us-east-1: m7i.large

  nothing to do in AWS: the box is up

  an hour running              unknown
  a month stopped (disk)         $8.00
  prices: us-east-1 table of 2026-07

  stops itself when idle for 30 min
  stopped by AWS 12 h after its start, whatever happens"""
    )


def test_of_a_spot_box_it_tells_both_prices_and_what_that_saves(draw: Draw) -> None:
    on_demand = price_of("g4dn.xlarge", "us-east-1", CONFIG.disk)
    price = replace(on_demand, instance_hour=Decimal("0.158"), on_demand_hour=on_demand.instance_hour)
    shown = draw(receipt_of(CONFIG, region="us-east-1", instance_type="g4dn.xlarge", steps=[], price=price))
    assert shown.splitlines()[4:8] == [
        "  an hour running, spot         $0.174",
        "    on demand it would be       $0.542",
        "    saved by spot: 68%          $0.368",
        "  a month stopped (disk)         $8.00",
    ]


def test_a_missing_quota_is_the_last_line(draw: Draw) -> None:
    price = price_of("g4dn.xlarge", "us-east-1", CONFIG.disk)
    shown = draw(
        receipt_of(
            CONFIG,
            region="us-east-1",
            instance_type="g4dn.xlarge",
            steps=[],
            price=price,
            missing_quota="g4dn.xlarge needs 4 vCPUs",
        )
    )
    assert shown.endswith("at every stop\n\n  ! g4dn.xlarge needs 4 vCPUs")


def test_in_a_pipe_every_step_is_one_line(draw: Draw) -> None:
    price = price_of("g4dn.xlarge", "eu-west-1", CONFIG.disk)
    shown = draw(
        receipt_of(CONFIG, region="eu-west-1", instance_type="g4dn.xlarge", steps=FROM_NOTHING, price=price),
        width=10_000,
    )
    assert len([line for line in shown.splitlines() if line.startswith("  + ")]) == len(FROM_NOTHING)
    assert len(shown.splitlines()) == 14


def test_a_time_of_day_is_shown_beside_the_limit() -> None:
    limits = Limits(max_hours=timedelta(hours=36), stop_at=time(23, 0))
    assert stop_lines(Config(limits=limits))[1] == (
        "stopped by AWS 1 d 12 h after its start, and at 23:00, whatever happens"
    )


def test_a_deadline_that_is_armed_is_shown_instead_of_the_limits() -> None:
    at = datetime(2026, 11, 23, 21, 10).astimezone()
    assert stop_lines(CONFIG, at)[1] == "stopped by AWS at Mon 21:10, whatever happens"


def test_a_type_without_local_nvme_has_its_scratch_on_the_disk(draw: Draw) -> None:
    price = price_of("g5.xlarge", "us-east-1", CONFIG.disk)
    plan = receipt_of(CONFIG, region="us-east-1", instance_type="g5.xlarge", steps=[], price=price, nvme_gb=0)
    shown = draw(plan)
    assert shown.endswith("~/scratch is a folder of the disk: this type has no local NVMe")


def test_variables_are_named_without_their_values(draw: Draw) -> None:
    price = price_of("g4dn.xlarge", "us-east-1", CONFIG.disk)
    env = ("HF_TOKEN", "MODE")
    shown = draw(
        receipt_of(CONFIG, region="us-east-1", instance_type="g4dn.xlarge", steps=[], price=price, env=env)
    )
    assert shown.endswith("variables for jobs, shells and notebooks: HF_TOKEN, MODE")
