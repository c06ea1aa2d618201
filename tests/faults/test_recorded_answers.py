"""What AWS has answered to others: our parsers read it, and the embedded cloud answers in the same shape.

The recordings lie beside the checkout (`RECORDED`); without them, what reads them is skipped. For the shape,
only those count that were recorded, or that their project validates; aws_shape.txt keeps it for all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from moto.core.utils import get_service_model

from gpu_box.aws import (
    cluster,
    console,
    deadline,
    doctor,
    instance_types,
    launch,
    launch_options,
    observe,
    quotas,
)
from gpu_box.aws.client import Cloud
from gpu_box.aws.instance import parse_instance
from gpu_box.aws.prices import price_list
from gpu_box.aws.steps import disk, network
from gpu_box.aws.steps.work import Work
from gpu_box.aws.sweep import leftovers, sweep
from gpu_box.config.model import Config
from gpu_box.model.observed import Observed
from gpu_box.plan.steps import CreateSecurityGroup, ImportKeyPair

from ..aws.conftest import Recorder
from ..paths import RECORDED
from .faults import Sent
from .stage import Stage
from .story import by_an_expert, looks_around

ANSWERS = [
    entry
    for file in sorted(RECORDED.glob("*.json"))
    if "response" in (entry := json.loads(file.read_text(encoding="utf-8")))
]
SHAPE = Path(__file__).with_name("aws_shape.txt")  # service, operation, path, types: of the recordings
CERTAIN = ("recorded", "validated against AWS")
TYPE, VOLUME = "g4dn.xlarge", "vol-" + "0" * 17
Types = dict[tuple[str, str, str], set[type]]
"""By service, operation and path in the answer."""


def _everything(cloud: Cloud) -> object:
    observe.observe(cloud)
    return leftovers.read_region(cloud, everything=True, now=datetime.now(UTC))


def _work(cloud: Cloud) -> Work:
    return Work(cloud, Recorder(), Observed(region=cloud.region))


def _increase(cloud: Cloud) -> object:
    use = quotas.QuotaUse(
        instance_type=TYPE, market="on-demand", code="L-DB2E81BA", name="G", limit=0, used=0, wanted=4
    )
    return quotas.request_increase(cloud, [use])


# What reads the answer of each operation; of others nothing is read but whether they are refused.
READERS: dict[str, Callable[[Cloud], object]] = {
    **dict.fromkeys(
        ("DescribeInstances", "DescribeVolumes", "DescribeAddresses", "DescribeSnapshots", "DescribeImages",
         "DescribeSpotInstanceRequests", "DescribeSecurityGroups", "DescribeKeyPairs"),
        _everything,
    ),
    "DescribePlacementGroups": cluster.read_cluster,
    "DescribeSubnets": lambda cloud: launch_options._placements(
        Config(instance_types=(TYPE,)), cloud.region, found := launch_options._subnets(cloud),
        {(TYPE, subnet["AvailabilityZone"]) for subnet in found},
    ),
    "DescribeInstanceTypeOfferings": lambda cloud: instance_types.read_offerings(cloud, [TYPE]),
    "DescribeInstanceTypes": lambda cloud: instance_types._read_hardware(cloud, {TYPE}),
    "DescribeRegions": sweep.enabled_regions,
    "DescribeSpotPriceHistory": lambda cloud: price_list.spot_rates(cloud, TYPE),
    "DescribeVolumesModifications": lambda cloud: disk._grow(_work(cloud), VOLUME, 100),
    "GetConsoleOutput": lambda cloud: console.read_console_record(cloud, "i-" + "0" * 17),
    "RunInstances": lambda cloud: parse_instance(
        launch._asked(cloud, {"MinCount": 1, "MaxCount": 1}) or {}
    ),
    "ImportKeyPair": lambda cloud: network.import_key_pair(ImportKeyPair(public_key="k"), _work(cloud)),
    "CreateSecurityGroup": lambda cloud: network.create_security_group(
        CreateSecurityGroup(vpc_id="vpc-" + "0" * 17, generation="g", ssh_from=()), _work(cloud)
    ),
    "GetRole": deadline.read_role,
    "CreateRole": deadline.create_role,
    "ListRoles": lambda cloud: leftovers.read_roles(cloud, ["us-east-1"]),
    "GetSchedule": lambda cloud: (deadline.read_deadline(cloud), deadline.read_owner(cloud, "box")),
    "GetServiceQuota": quotas.read_quotas,
    "ListRequestedServiceQuotaChangeHistoryByQuota": _increase,
    "RequestServiceQuotaIncrease": _increase,
    "GetParameter": launch_options._latest_image_id,
    "GetCallerIdentity": doctor.check_caller,
    "GetProducts": lambda cloud: price_list.disk_rates(cloud, "io1"),
}  # fmt: skip
# What a parser needs of the answers beside the one that is looked at.
_LEAST: dict[str, Any] = {
    "GetRole": {"Role": {"Arn": "arn"}},
    "RequestServiceQuotaIncrease": {"RequestedQuota": {"Id": "q", "DesiredValue": 4.0, "Status": "PENDING"}},
}
_MORE = ("NextToken", "Marker", "IsTruncated")  # there is one page here
# Fields that AWS gives every such thing today, and that answers of other years lack: key pairs have ids since
# 2019, and addresses of EC2-Classic, which ended in 2022, had none.
_TODAY = {
    "DescribeKeyPairs": ("KeyPairs", "KeyPairId"),
    "DescribeAddresses": ("Addresses", "AllocationId"),
    "ImportKeyPair": ("", "KeyPairId"),
}


def _is_of_today(answer: dict[str, Any]) -> bool:
    listed, name = _TODAY.get(answer["operation"], ("", ""))
    things = answer["response"].get(listed, []) if listed else [answer["response"]]
    return not name or all(name in thing for thing in things)


READ = [
    answer
    for answer in ANSWERS
    if answer["operation"] in READERS and "alone" not in answer["situation"] and _is_of_today(answer)
]


class Watched(dict[str, Any]):
    """An answer, or a part of one: `note` hears of each field that gpu-box reads (and not the SDK)."""

    def __init__(self, value: dict[str, Any], path: str, note: Callable[[str, Any], None]) -> None:
        super().__init__({name: _watched(inner, f"{path}.{name}".strip("."), note)
                          for name, inner in value.items()})  # fmt: skip
        self._path, self._note = path, note

    def __getitem__(self, name: str) -> Any:
        self._hear(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._hear(name)
        return super().get(name, default)

    def _hear(self, name: str) -> None:
        if self._path.startswith("ResponseMetadata") or name == "ResponseMetadata":
            return
        if name in self and sys._getframe(2).f_globals["__name__"].startswith("gpu_box"):
            self._note(f"{self._path}.{name}".strip("."), super().__getitem__(name))


def _watched(value: Any, path: str, note: Callable[[str, Any], None]) -> Any:
    if isinstance(value, dict):
        return Watched(value, path, note)
    return [_watched(inner, f"{path}.N", note) for inner in value] if isinstance(value, list) else value


def _restored(shape: Any, value: Any) -> Any:
    """As before the SDK's own handlers: timestamps are text in the recordings, and policies are parsed."""
    if shape.type_name == "structure":
        return {k: _restored(shape.members[k], v) for k, v in value.items() if k in shape.members}
    if shape.type_name == "list":
        return [_restored(shape.member, inner) for inner in value]
    if shape.type_name == "string" and isinstance(value, dict):
        return quote(json.dumps(value))
    if shape.type_name == "timestamp" and isinstance(value, str):
        return datetime.fromisoformat(value) if value[:1].isdigit() else datetime.now(UTC)
    return value


def read(answer: dict[str, Any]) -> Types:
    """The fields that our parsers read of it. Everything else that they ask for is empty."""
    kinds: Types = {}
    service, operation = answer["service"], answer["operation"]

    def note(path: str, value: Any) -> None:
        kinds.setdefault((service, operation, path), set()).add(_kind(value))

    def give(model: Any, **_: Any) -> Any:
        shape = get_service_model(model.service_model.service_name).operation_model(model.name).output_shape
        empty: dict[str, Any] = {}
        for name, member in shape.members.items() if shape else ():
            if member.type_name in ("list", "structure"):
                empty[name] = [] if member.type_name == "list" else {}
        given = empty | _LEAST.get(model.name, {})
        if model.name == operation:
            whole = {k: v for k, v in answer["response"].items() if k not in _MORE}
            given = Watched(empty | _restored(shape, whole), "", note)
        return SimpleNamespace(status_code=200, headers={}), given

    cloud = Cloud(Config(region="us-east-1", instance_types=(TYPE,)))
    cloud._clients.session.events.register_first("before-call.*.*", give)
    READERS[operation](cloud)
    return kinds


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")


@pytest.mark.skipif(not ANSWERS, reason="no recordings of AWS's answers beside the checkout")
@pytest.mark.parametrize(
    "answer", READ, ids=lambda one: f"{one['operation']}-{one['situation'][:40]}-{one['source'][-20:]}"
)
def test_our_parsers_read_what_aws_answered(answer: dict[str, Any], credentials: None) -> None:
    assert read(answer)


# Of things that the story below has none of: an address that is attached, a rule for a prefix list.
NOT_MADE = {
    ("ec2", "DescribeAddresses", "Addresses.N.AssociationId"),
    ("ec2", "DescribeSecurityGroups", "SecurityGroups.N.IpPermissions.N.PrefixListIds.N.PrefixListId"),
}


@pytest.fixture(scope="module")
def embedded(one_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Types]:
    """The fields of the embedded cloud's answers."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in one_stage.exports(tmp_path_factory.mktemp("laptop")).items():
            patch.setenv(name, value)
        answers: list[Sent] = []
        for command in ("bake over an older one", "up of spot", "up in a cluster", "up with a larger disk"):
            answers += one_stage.undisturbed_run(command).answers
        answers += by_an_expert(one_stage).answers + looks_around(one_stage).answers
        kinds: Types = {}
        for service, operation, parsed in answers:
            for path, kind in _fields(parsed, ""):
                kinds.setdefault((service, operation, path), set()).add(kind)
        yield kinds


def _kind(value: Any) -> type:
    return next((kind for kind in (dict, list) if isinstance(value, kind)), type(value))


def _fields(value: Any, path: str) -> Iterator[tuple[str, type]]:
    if path:
        yield path, _kind(value)
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _fields(inner, f"{path}.{name}".strip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(inner, f"{path}.N")


@pytest.mark.skipif(not ANSWERS, reason="no recordings of AWS's answers beside the checkout")
def test_the_table_has_every_field_that_our_parsers_read_of_a_recording(credentials: None) -> None:
    reported: Types = {}
    for answer in READ:
        if answer["evidence"] in CERTAIN:
            for field, kinds in read(answer).items():
                reported.setdefault(field, set()).update(kinds)
    found = [
        f"{' '.join(field)} {' '.join(sorted(kind.__name__ for kind in reported[field]))}"
        for field in reported
    ]
    assert sorted(found) == SHAPE.read_text(encoding="utf-8").splitlines()


def test_the_embedded_cloud_answers_in_aws_s_shape(embedded: Types) -> None:
    differs = set()
    for line in SHAPE.read_text(encoding="utf-8").splitlines():
        service, operation, path, *kinds = line.split()
        ours = embedded.get((service, operation, path), set())
        if sorted(kind.__name__ for kind in ours) != kinds:
            differs.add((service, operation, path))
    assert differs == NOT_MADE
