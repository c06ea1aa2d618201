"""Undocumented parts of moto that the embedded cloud uses: a failure names what an upgrade has changed."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from ..paths import ROOT

SOURCE = ROOT / "src" / "local_aws"
EC2, SCHEDULER = "moto.ec2.models.EC2Backend", "moto.scheduler.models.EventBridgeSchedulerBackend"
MOTO = f"moto {version('moto')}"
# Owner, name, the code that overrides, reads or replaces it, and its purpose.
NEEDED = [
    ("moto.core.base_backend.BackendDict", "_instances", "moto_inside.py", "the state file"),
    ("moto.core.responses", "method_names_from_class", "install.py", "the speed of a call"),
    ("moto.core.responses.BaseResponse", "_get_param", "ec2/responses.py", "the options of a spot launch"),
    (EC2, "run_instances", "ec2/models.py", "every launch"),
    (EC2, "describe_tags", "ec2/models.py", "the speed of a call"),
    (EC2, "all_instances", "ec2/models.py", "the speed of a call"),
    (EC2, "start_instances", "ec2/models.py", "the states of an instance"),
    (EC2, "stop_instances", "ec2/models.py", "the states of an instance"),
    (EC2, "terminate_instances", "ec2/models.py", "the states of an instance"),
    (EC2, "reboot_instances", "ec2/models.py", "the states of an instance"),
    (EC2, "modify_volume", "ec2/models.py", "a disk that cannot shrink"),
    (EC2, "describe_volumes_modifications", "ec2/models.py", "the last modification of a disk"),
    (EC2, "describe_subnets", "ec2/models.py", "the subnet that does not exist"),
    (EC2, "create_default_vpc", "ec2/models.py", "its internet gateway"),
    (EC2, "create_route", "ec2/models.py", "a route whose gateway is detached"),
    ("moto.ec2.models.route_tables.Route", "state", "ec2/routes.py", "a route whose gateway is detached"),
    ("moto.ec2.models.elastic_block_store.VolumeModification", "modification_state", "ec2/disks.py",
     "a disk that is still optimized"),
    (EC2, "create_image", "ec2/models.py", "baking"),
    (EC2, "cancel_spot_instance_requests", "ec2/models.py", "`down` of a spot box"),
    (EC2, "modify_network_interface_attribute", "ec2/attributes.py", "its groups"),
    (EC2, "_delete_security_group", "ec2/models.py", "a group that is in use"),
    (EC2, "_create_default_encryption_key", "ec2/models.py", "encrypted disks"),
    (EC2, "_load_amis", "ec2/models.py", "the public images"),
    ("moto.ec2.models.elastic_network_interfaces", "random_public_ip", "install.py", "addresses on loopback"),
    ("moto.ec2.models.instances.Instance", "instance_state", "ec2/lifecycle.py", "the states of an instance"),
    ("moto.ec2.utils", "filter_dict_attribute_mapping", "install.py", "filters by client token"),
    ("moto.ec2.responses.EC2Response", "RESPONSE_KEY_PATH_TO_TRANSFORMER", "ec2/responses.py", "true states"),
    ("moto.ec2.responses.EC2Response", "_parse_block_device_mapping", "ec2/responses.py", "disks as asked"),
    ("moto.moto_server.werkzeug_app.DomainDispatcherApplication", "get_backend_for_host", "api/dispatch.py",
     "the services that moto lacks"),
    (SCHEDULER, "_url_module", "scheduler/models.py", "its routes"),
    (SCHEDULER, "create_schedule", "scheduler/models.py", "deadlines"),
    (SCHEDULER, "update_schedule", "scheduler/models.py", "deadlines"),
    ("moto.ssm.models.SimpleSystemManagerBackend", "_url_module", "services/parameters.py", "its routes"),
]  # fmt: skip
# A method of moto that reads an attribute that we set.
READS = [
    ("moto.core.base_backend.BackendDict._create_account_specific_backend", "backend", "install.py",
     "our EC2, Scheduler and SSM"),
    ("moto.ec2.models.instances.Instance.state_transition_reason", "_reason", "moto_inside.py", "`why`"),
    ("moto.ssm.models.SimpleSystemManagerBackend.get_parameters", "_parameters", "services/parameters.py",
     "the ids of the public images"),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "name", "where", "what"), NEEDED, ids=lambda value: value)
def test_moto_has_what_we_override_or_replace(owner: str, name: str, where: str, what: str) -> None:
    assert hasattr(found(owner), name), f"{MOTO} has no {owner}.{name}, which {where} needs for {what}"


@pytest.mark.parametrize(("method", "name", "where", "what"), READS, ids=lambda value: value)
def test_moto_reads_what_we_set(method: str, name: str, where: str, what: str) -> None:
    code = found(method)
    read = (code.fget if isinstance(code, property) else code).__code__.co_names
    assert name in read, f"{MOTO}: {method} no longer reads {name}, which {where} sets for {what}"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_moto_has_what_we_import(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "moto":
            for alias in node.names:
                where = path.relative_to(SOURCE)
                assert found(f"{node.module}.{alias.name}") is not None, (
                    f"{MOTO} has no {node.module}.{alias.name}, which {where} imports"
                )


def test_the_list_has_every_private_name_that_we_override() -> None:
    listed = {name for _, name, *_ in NEEDED}
    for path in SOURCE.rglob("*.py"):
        if path.name == "__main__.py":
            continue
        module = import_module(".".join(("local_aws", *path.relative_to(SOURCE).with_suffix("").parts)))
        for one in vars(module).values():
            if inspect.isclass(one) and one.__module__ == module.__name__:
                of_moto = [base for base in one.__mro__ if base.__module__.split(".")[0] == "moto"]
                own = {name for name in vars(one) if name.startswith("_") and not name.startswith("__")}
                assert {name for name in own if any(hasattr(base, name) for base in of_moto)} <= listed, one


def found(name: str) -> Any:
    """The object with that dotted name; None if there is none."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            thing: Any = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            thing = getattr(thing, part, None)
        return thing
    return None
