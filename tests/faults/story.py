"""What the commands of a walk do not do: a config that says everything, reads, and a sweep."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from gpu_box.aws import console, doctor, observe, quotas, tags
from gpu_box.aws.prices.prices import read_price
from gpu_box.aws.sweep.sweep import remove, sweep
from gpu_box.config.model import Aws, Disk, ImageChoice, Network
from local_aws.faults import weather

from ..aws.conftest import Laptop
from .apart import impatient
from .faults import Saboteur
from .stage import COST, Stage


def _laptop(stage: Stage, **settings: Any) -> tuple[Laptop, Saboteur]:
    laptop, saboteur = Laptop(replace(stage.new_config(), **settings)), Saboteur(answer=stage.inside.answer)
    saboteur.follow(laptop.cloud)
    return laptop, saboteur


def by_an_expert(stage: Stage) -> Saboteur:
    """With all that a config may say of an instance, and from another address later."""
    stage.empty(machines=False)
    plain, _ = _laptop(stage)
    ec2 = plain.cloud.ec2
    subnet = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"][0]
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    here = ip_network("127.0.0.1/32")
    laptop, saboteur = _laptop(
        stage, disk=Disk(size_gib=200, iops=4000, throughput_mib=500), image=ImageChoice(id=image),
        network=Network(allow_ssh_from=(here,), subnet=(subnet["SubnetId"],)),
        zones=(subnet["AvailabilityZone"],), aws=_account(),
    )  # fmt: skip
    with impatient():
        laptop.up()
        there = Network(allow_ssh_from=(ip_network("2001:db8::/64"),), subnet=(subnet["SubnetId"],))
        moved = Laptop(replace(laptop.config, network=there))
        saboteur.follow(moved.cloud)
        moved.up()
        laptop.down()
    return saboteur


def _account() -> Aws:
    """A company's account, with the boundary that its administrator made."""
    allowed = {"Effect": "Allow", "Action": "ec2:StopInstances", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    boundary = iam_backends[DEFAULT_ACCOUNT_ID]["aws"].create_policy(
        "", "/", document, f"boundary-{secrets.token_hex(4)}", []
    )
    return Aws(
        tags=((COST, "ml-7"), ("Team", "vision")),
        permissions_boundary=boundary.arn,
        kms_key=f"arn:aws:kms:us-east-1:{DEFAULT_ACCOUNT_ID}:key/01234567-89ab-cdef-0123-456789abcdef",
    )


def looks_around(stage: Stage) -> Saboteur:
    """What reads, and what sweeps up after others."""
    stage.empty(machines=False)
    weather().change({"regions": ["us-east-1"]})
    laptop, saboteur = _laptop(stage)
    cloud = laptop.cloud
    with impatient():
        doctor.check_caller(cloud)
        doctor.check_account(cloud, laptop.observe())
        doctor.check_plan(cloud)
        instance = laptop.up().instance
        assert instance is not None
        doctor.check_account(cloud, laptop.observe())
        uses = quotas.read_wanted_quotas(cloud)
        quotas.request_increase(cloud, [replace(use, wanted=use.limit + 8) for use in uses])
        console.read_console_record(cloud, instance.id)
        read_price(cloud, instance.type, market="spot")
        observe.observe_every_box(cloud)
        _leave_behind(laptop)
        found = sweep(cloud, everything=False, report=laptop.report).found
        assert {"volume", "address", "instance", "role"} <= {one.kind for one in found}
        remove(cloud, found, report=laptop.report)
    weather().change({"regions": []})
    return saboteur


def _leave_behind(laptop: Laptop) -> None:
    """A disk and an address with the box's tags, as by hand."""
    backend = ec2_backends[DEFAULT_ACCOUNT_ID]["us-east-1"]
    own = {tag["Key"]: tag["Value"] for tag in tags.tags(laptop.config)}
    backend.create_volume(size=1, zone_name="us-east-1a").add_tags(own)
    address = backend.allocate_address("vpc")
    backend.create_tags([address.allocation_id], own)
