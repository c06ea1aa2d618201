"""The AWS checks of `doctor`: caller, clock, permissions, and what can be launched.

Each function returns Checks and raises nothing, because AWS's refusals are the findings. Nothing is created:
EC2's DryRun tells whether a call is permitted (EC2 API reference, "DryRun").
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from gpu_box.aws import clock, requests
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.deadline import read_deadline, read_role
from gpu_box.aws.errors import translated
from gpu_box.aws.launch import launch_request
from gpu_box.aws.launch_options import read_launchable
from gpu_box.aws.prices.prices import read_price
from gpu_box.aws.quotas import QuotaUse
from gpu_box.aws.region import not_enabled
from gpu_box.errors import CloudError, GpuBoxError, PermissionDenied
from gpu_box.model.check import Check
from gpu_box.model.observed import Launch, Launchable, Observed
from gpu_box.plan.deadline import REMEDY
from gpu_box.plan.steps import RunInstance
from gpu_box.units import format_duration, format_money

# A deprecated image can still be launched by its id until its owner removes it (EC2 User Guide, "Deprecate an
# Amazon EC2 AMI").
_DEPRECATED_SOON = timedelta(days=30)
_FREE_TIER_REGION = "us-east-1"  # its only endpoint (AWS General Reference)
_WOULD_SUCCEED = "DryRunOperation"
_LAUNCH_ON_GROUP = re.compile(
    r"not authorized to perform: ec2:RunInstances on resource: \S+:security-group/\S+ because no"
)
# A valid public key (RFC 8032, 7.1, test 1) for a dry run.
_SOME_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
_Read = TypeVar("_Read")


def check_caller(cloud: Cloud, *, brisk: bool = False) -> list[Check]:
    """Credentials, and the clock by the date of AWS's answer, even a refusal. brisk: one attempt."""
    sent = datetime.now(UTC)
    try:
        with translated("reading your identity"):
            answer = cloud.client("sts", brisk=brisk).get_caller_identity()
        checks = [Check(name="credentials", ok=True, line=answer["Arn"])]
    except CloudError as error:
        if disabled := not_enabled(cloud, error):
            return [Check.failed("region", disabled)]
        answer = error.__cause__.response if isinstance(error.__cause__, ClientError) else {}
        checks = [Check.failed("credentials", error)]
    dated = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    with suppress(ValueError, TypeError, OverflowError):  # a proxy's date, or none
        checks.append(check_clock(sent, datetime.now(UTC), dated))
    return checks


def check_clock(sent: datetime, received: datetime, dated: str) -> Check:
    """sent, received: this clock's times, aware. dated: the answer's Date header, in whole seconds."""
    if not (line := clock.off(sent, received, dated)):
        return Check(name="clock", ok=True, line="agrees with AWS's")
    return Check(
        name="clock", ok=False, line=line, remedy=f"{clock.REMEDY}: at 5 min AWS refuses every call."
    )


def check_plan(cloud: Cloud) -> list[Check]:
    """The account's plan; nothing if AWS does not return it (no permission, or an older account)."""
    if cloud.partition != "aws":
        return []
    try:
        with translated("reading your account's plan"):
            client = cloud.client("freetier", region=_FREE_TIER_REGION, brisk=True)
            plan = client.get_account_plan_state()["accountPlanType"]
    except CloudError:
        return []
    if plan != "FREE":
        return [Check(name="plan", ok=True, line="Paid plan")]
    return [
        Check(
            name="plan",
            ok=False,
            line="your AWS account is on the Free plan, on which EC2 launches no GPU instance",
            remedy="Upgrade to the Paid plan in the Billing console.",
        )
    ]


def check_account(cloud: Cloud, observed: Observed | GpuBoxError) -> list[Check]:
    """The checks of the account, in parallel where possible.

    observed: the box, or why it cannot be read.
    """
    launch, price = side_by_side(
        lambda: or_error(lambda: read_launchable(cloud, describe=True)),
        lambda: read_price(cloud, cloud.config.instance_types[0]),
    )
    checks = [_check_launch(cloud, launch)]
    if isinstance(launch, Launchable):
        checks += check_image(launch, chosen=bool(cloud.config.image.id), now=datetime.now(UTC))
    if isinstance(observed, GpuBoxError):
        checks.append(Check.failed("permissions", observed))
    else:
        checks.append(_check_permissions(cloud, observed, launch))
    checks.append(_check_deadline(cloud, observed))
    hour = f"{format_money(price.hour)} an hour" if price.hour is not None else "not known"
    checks.append(Check(name="prices", ok=True, line=f"{hour} ({price.source})"))
    return checks


def check_quota(uses: list[QuotaUse] | GpuBoxError) -> list[Check]:
    if isinstance(uses, GpuBoxError):
        return [Check.failed("quota", uses)]
    remedy = "`gpu-box doctor --request-quota` requests it from AWS, which can take minutes to days."
    return [
        Check(
            name="quota",
            ok=use.fits,
            line=f"{use.instance_type} ({use.market}): {use.used} + {use.wanted} of {use.limit} vCPUs "
            f"of '{use.name}' ({use.code})",
            remedy="" if use.fits else remedy,
        )
        for use in uses
    ]


def or_error(read: Callable[[], _Read]) -> _Read | GpuBoxError:
    try:
        return read()
    except GpuBoxError as error:
        return error


def _check_launch(cloud: Cloud, launch: Launchable | GpuBoxError) -> Check:
    if isinstance(launch, GpuBoxError):
        return Check.failed("launch", launch)
    first, zones = launch.placements[0], {place.zone for place in launch.placements}
    network = ", ".join(cloud.config.network.subnet) or "default VPC"
    line = f"{first.type} in {len(zones)} zones of {cloud.region}, {network}; image {launch.image_name}"
    return Check(name="launch", ok=True, line=line)


def check_image(launch: Launchable, *, chosen: bool, now: datetime) -> list[Check]:
    """The image's age and deprecation; nothing if AWS does not return its age.

    chosen: the config sets `image.id`.
    """
    if launch.image_created is None:
        return []
    line, until = f"{format_duration(now - launch.image_created)} old", launch.image_deprecated
    if until is None or now < until - _DEPRECATED_SOON:
        return [Check(name="image", ok=True, line=line)]
    when = "deprecated since" if until <= now else "deprecated from"
    remedy = (
        "Set image.id to a newer AMI, or remove it: then `up` uses the newest of image.family."
        if chosen
        else "Set another image.family or image.release: AWS has no newer one of these."
    )
    return [Check(name="image", ok=True, line=f"{line}, {when} {until:%Y-%m-%d}", remedy=remedy)]


def _check_deadline(cloud: Cloud, observed: Observed | GpuBoxError) -> Check:
    """Creating roles and schedules has no dry run; without permission to read, there is none to create."""
    if isinstance(observed, Observed) and observed.deadline_unread:
        remedy = "`up` starts nothing until IAM and EventBridge Scheduler answer; `stop` needs neither."
        return Check(name="deadline", ok=False, line=observed.deadline_unread, remedy=remedy)
    if isinstance(observed, Observed):
        why = observed.deadline_unavailable
    else:
        try:
            (_, schedules), (_, roles) = side_by_side(lambda: read_deadline(cloud), lambda: read_role(cloud))
        except GpuBoxError as error:
            return Check.failed("deadline", error)
        why = schedules or roles
    if why:
        remedy = "Ask for the permissions in `gpu-box policy`. " + REMEDY
        return Check(name="deadline", ok=False, line=f"cannot be armed in AWS: {why}", remedy=remedy)
    line = "schedules and roles of gpu-box can be read"
    given = cloud.config.aws.deadline_role
    if given:
        line = f"{given} stops the box"
    elif isinstance(observed, Observed) and observed.deadline_role_arn is None:
        line += "; `up` makes the role: if your AWS user may not make roles, see `gpu-box policy --role`"
    return Check(name="deadline", ok=True, line=line)


def _check_permissions(cloud: Cloud, observed: Observed, launch: Launchable | GpuBoxError) -> Check:
    tried = _dry_runs(cloud, observed, launch)
    verdicts = side_by_side(*(partial(_would_succeed, call) for call in tried.values()))
    refused = [verdict for verdict in verdicts if verdict]
    line = f"reading, and by DryRun {', '.join(tried)}"
    if not observed.group and any(map(_is_of_default_group, refused)):
        refused = [error for error in refused if not _is_of_default_group(error)]
        line += "; RunInstances is certain only once the box has its security group"
    if refused:
        # Denials of one kind share a remedy.
        remedies = dict.fromkeys(error.remedy for error in refused if error.remedy)
        why = "; ".join(error.what for error in refused)
        return Check(name="permissions", ok=False, line=why, remedy=" ".join(remedies))
    return Check(name="permissions", ok=True, line=line)


def _is_of_default_group(error: CloudError) -> bool:
    """Whether a launch was denied for its security group alone.

    Before the box has its own, the trial is a launch behind the VPC's default group, which `gpu-box policy`
    does not permit, and which `up` does not use. AWS requires a group ("Actions, resources, and condition
    keys for Amazon EC2", RunInstances: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html).
    """
    return isinstance(error, PermissionDenied) and _LAUNCH_ON_GROUP.search(error.what) is not None


def _would_succeed(call: Callable[[], Any]) -> CloudError | None:
    try:
        with translated("trying a permission"):
            call()
    except CloudError as error:
        return None if error.code == _WOULD_SUCCEED else error
    return None


def _dry_runs(
    cloud: Cloud, observed: Observed, launch: Launchable | GpuBoxError
) -> dict[str, Callable[[], Any]]:
    """Dry runs for an existing box's changes, or for what is still to be created."""
    ec2, config, tries = cloud.ec2, cloud.config, dict[str, Callable[..., Any]]()
    if instance := observed.instance:
        for operation in ("start_instances", "stop_instances", "terminate_instances"):
            title = "".join(word.capitalize() for word in operation.split("_"))
            tries[title] = partial(getattr(ec2, operation), InstanceIds=[instance.id])
    elif isinstance(launch, Launchable):
        generation = secrets.token_hex(8)
        tries["RunInstances"] = partial(ec2.run_instances, **_launch(cloud, observed, launch, generation))
        if not observed.group:
            request = requests.security_group(config, vpc_id=launch.vpc_id, generation=generation)
            tries["CreateSecurityGroup"] = partial(ec2.create_security_group, **request)
    if not observed.key_pair:
        tries["ImportKeyPair"] = partial(ec2.import_key_pair, **requests.key_pair(config, _SOME_KEY))
    return {title: partial(call, DryRun=True) for title, call in tries.items()}


def _launch(cloud: Cloud, observed: Observed, launchable: Launchable, generation: str) -> dict[str, Any]:
    """`up`'s request, without the names of resources that do not exist yet, which AWS would reject."""
    step = RunInstance(
        launch=Launch(generation=generation, public_key=_SOME_KEY, user_data=""), launchable=launchable
    )
    group_id = observed.group.id if observed.group else ""
    request = launch_request(cloud, step, launchable.placements[0], group_id)
    if not observed.group:
        del request["NetworkInterfaces"][0]["Groups"]
    if not observed.key_pair:
        del request["KeyName"]
    if not launchable.cluster_group_id:
        request.pop("Placement", None)
    return request
