"""`doctor`: one line per check of AWS, this computer, and the box if it runs."""

from __future__ import annotations

import shutil
from itertools import groupby

from gpu_box.aws import doctor
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.my_address import check_address
from gpu_box.aws.observe import observe
from gpu_box.aws.quotas import QuotaUse, read_wanted_quotas
from gpu_box.box.find import host_at
from gpu_box.config.model import Config
from gpu_box.errors import GpuBoxError
from gpu_box.machine import setup
from gpu_box.machine.health import check_disk, check_driver
from gpu_box.machine.ssh.connection import connect
from gpu_box.machine.ssh.keys import read_public_line
from gpu_box.model.check import Check
from gpu_box.model.observed import InstanceState, Observed


def examine(cloud: Cloud) -> list[Check]:
    """Run every check; changes nothing. Raises InputError if no region is set."""
    config = cloud.config
    caller, address = side_by_side(lambda: doctor.check_caller(cloud), lambda: check_address(config))
    if not all(check.ok for check in caller if check.name in ("credentials", "region")):
        return [*caller, address, _key(config), *_tools()]
    observed = doctor.or_error(lambda: observe(cloud))
    plan, account, uses, box = side_by_side(
        lambda: doctor.check_plan(cloud),
        lambda: doctor.check_account(cloud, observed),
        lambda: _uses(cloud, observed),
        lambda: _box(config, observed),
    )
    return [*caller, *plan, *account, *doctor.check_quota(uses), address, _key(config), *_tools(), *box]


def missing_quotas(cloud: Cloud) -> list[list[QuotaUse]]:
    """Quotas too small for the config's instance types, grouped by quota. Raises CloudError."""
    uses = read_wanted_quotas(cloud, observe(cloud).instance)
    lacking = sorted((use for use in uses if not use.fits), key=lambda use: use.code)
    return [list(of_one) for _, of_one in groupby(lacking, key=lambda use: use.code)]


def _uses(cloud: Cloud, observed: Observed | GpuBoxError) -> list[QuotaUse] | GpuBoxError:
    if isinstance(observed, GpuBoxError):
        return observed
    try:
        return read_wanted_quotas(cloud, observed.instance)
    except GpuBoxError as error:
        return error


def _box(config: Config, observed: Observed | GpuBoxError) -> list[Check]:
    """Checks of the running box, in one round trip."""
    if isinstance(observed, GpuBoxError):
        return []  # the permissions check reports the reason
    instance = observed.instance
    if instance is None or instance.state is not InstanceState.RUNNING or not instance.address:
        return []
    generation = observed.group.generation if observed.group else ""
    try:
        with connect(host_at(config, instance, generation)) as connection:
            desired = setup.desired(config, market=instance.market)
            machine = setup.check(connection, desired, health=True)
    except GpuBoxError as error:
        return [Check.failed("box", error)]
    assert machine.health is not None
    driver = machine.step("driver")
    return [
        Check(name="box", ok=True, line=f"{instance.id} answers at {instance.address}, host key verified"),
        check_driver(
            machine.health,
            card=machine.gpu,
            state=driver.status if driver else "needed",
            line=driver.line if driver else "not set up yet",
        ),
        check_disk(machine.health),
    ]


def _key(config: Config) -> Check:
    """Report a problem with the key before `up` starts an instance that bills."""
    try:
        line = read_public_line(config.ssh.key)
    except GpuBoxError as error:
        return Check.failed("key", error)
    return Check(name="key", ok=True, line=str(config.ssh.key) if line else f"`up` creates {config.ssh.key}")


def _tools() -> list[Check]:
    return [
        _tool("ssh", needed=True, without="`gpu-box ssh` and `tmux` need it: install OpenSSH's client."),
        _tool(
            "rsync",
            needed=False,
            without="Without it, files are copied by SFTP, which is slower: install rsync.",
        ),
    ]


def _tool(name: str, *, needed: bool, without: str) -> Check:
    path = shutil.which(name)
    if path:
        return Check(name=name, ok=True, line=path)
    return Check(name=name, ok=not needed, line="not installed on this computer", remedy=without)
