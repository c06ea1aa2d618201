"""What `doctor` asks of AWS: who calls, whose clock is right, what is permitted, what there is to launch on.

Each function answers with Checks and fails on none: what AWS refuses is what is to be told. Nothing is made:
EC2's own DryRun says whether a call would be permitted (EC2 API reference, "DryRun").
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws import requests
from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.deadline import read_deadline, read_role
from gpu_box.aws.errors import CREDENTIAL_CODES, translated
from gpu_box.aws.launch import launch_request
from gpu_box.aws.launch_options import read_launchable
from gpu_box.aws.prices.prices import read_price
from gpu_box.aws.quotas import QuotaUse
from gpu_box.errors import CloudError, GpuBoxError, PermissionDenied
from gpu_box.model.check import Check
from gpu_box.model.observed import Launch, Launchable, Observed
from gpu_box.plan.steps import RunInstance
from gpu_box.units import format_duration, format_money

# AWS refuses a request that is signed more than 5 minutes off (IAM User Guide, "Signature Version 4"); a
# deadline is armed for an hour of this clock, so it should be right long before that.
_CLOCK_OFF = timedelta(seconds=60)
_WOULD_SUCCEED = "DryRunOperation"
# A public key that is one (RFC 8032, 7.1, test 1), for a key pair that is not made.
_SOME_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"


def check_caller(cloud: Cloud, *, brisk: bool = False) -> list[Check]:
    """Credentials, and the clock by what AWS's answer is dated, be it a refusal. brisk: tried once."""
    sent = datetime.now(UTC)
    try:
        with translated("asking who you are"):
            answer = cloud.client("sts", brisk=brisk).get_caller_identity()
        checks = [Check(name="credentials", ok=True, line=answer["Arn"])]
    except CloudError as error:
        if error.code in CREDENTIAL_CODES and (region := _region_not_enabled(cloud)):
            return [region]
        answer = error.__cause__.response if isinstance(error.__cause__, ClientError) else {}
        checks = [Check.failed("credentials", error)]
    dated = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    return [*checks, check_clock(sent, datetime.now(UTC), dated)] if dated else checks


# Opting in is per region and account; this one is always on, and so is the like of it for other partitions.
_ALWAYS_ON = {"us-gov-": "us-gov-west-1", "cn-": "cn-north-1", "": "us-east-1"}


def _region_not_enabled(cloud: Cloud) -> Check | None:
    """A region that the account has not enabled takes its credentials for a stranger's; another does not."""
    known = next(name for prefix, name in _ALWAYS_ON.items() if cloud.region.startswith(prefix))
    if known == cloud.region:
        return None
    try:
        with translated("asking who you are"):
            arn = cloud.client("sts", region=known, brisk=True).get_caller_identity()["Arn"]
    except CloudError:
        return None
    return Check(
        name="region",
        ok=False,
        line=f"{cloud.region} is not enabled for your account ({arn})",
        remedy="Set `region:` in config.yaml to one that is, such as us-east-1 or eu-west-1, or enable it: "
        f"`aws account enable-region --region-name {cloud.region}`.",
    )


def check_clock(sent: datetime, received: datetime, dated: str) -> Check:
    """sent, received: by this clock, aware. dated: the answer's Date header, which has whole seconds."""
    theirs = parsedate_to_datetime(dated)
    early, late = theirs - received, theirs + timedelta(seconds=1) - sent
    off = max(early, -late, timedelta(0))  # at least; what the answer's way took is no fault of the clock
    if off <= _CLOCK_OFF:
        return Check(name="clock", ok=True, line="agrees with AWS's")
    which = "behind" if early > -late else "ahead of"
    return Check(
        name="clock",
        ok=False,
        line=f"this computer's clock is {format_duration(off)} {which} AWS's",
        remedy="Set it by the network (`sudo timedatectl set-ntp true`): 5 min off, AWS refuses every call.",
    )


def check_account(cloud: Cloud, observed: Observed | GpuBoxError) -> list[Check]:
    """Everything that needs the account, at once where one does not need the other.

    observed: the box, or why it cannot be read.
    """
    launch, price = side_by_side(
        partial(_or_error, lambda: read_launchable(cloud, describe=True)),
        lambda: read_price(cloud, cloud.config.instance_types[0]),
    )
    checks = [_check_launch(cloud, launch)]
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
    remedy = "`gpu-box doctor --request-quota` asks AWS for it; that can take minutes to days."
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


def _or_error(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except GpuBoxError as error:
        return error


def _check_launch(cloud: Cloud, launch: Launchable | GpuBoxError) -> Check:
    if isinstance(launch, GpuBoxError):
        return Check.failed("launch", launch)
    first, zones = launch.placements[0], {place.zone for place in launch.placements}
    network = cloud.config.network.subnet or "default VPC"
    line = f"{first.type} in {len(zones)} zones of {cloud.region}, {network}; image {launch.image_name}"
    return Check(name="launch", ok=True, line=line)


def _check_deadline(cloud: Cloud, observed: Observed | GpuBoxError) -> Check:
    """Making a role or a schedule cannot be tried without doing it; who may not read may not make."""
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
        remedy = "Ask for what `gpu-box policy` prints; without it the box still stops itself."
        return Check(name="deadline", ok=False, line=f"cannot be armed in AWS: {why}", remedy=remedy)
    return Check(name="deadline", ok=True, line="schedules and roles of gpu-box can be read")


def _check_permissions(cloud: Cloud, observed: Observed, launch: Launchable | GpuBoxError) -> Check:
    tried = _dry_runs(cloud, observed, launch)
    verdicts = side_by_side(*(partial(_would_succeed, call) for call in tried.values()))
    denied = [verdict.what for verdict in verdicts if isinstance(verdict, PermissionDenied)]
    unknown = [str(verdict) for verdict in verdicts if verdict and not isinstance(verdict, PermissionDenied)]
    if denied or unknown:
        remedy = "Ask for what `gpu-box policy` prints (infra/operator-policy.json)." if denied else ""
        return Check(name="permissions", ok=False, line="; ".join([*denied, *unknown]), remedy=remedy)
    return Check(name="permissions", ok=True, line=f"reading, and by DryRun {', '.join(tried)}")


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
    """What can be tried now: of a box that is there what changes it, else what is still to be made."""
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
    """`up`'s own request, without the names of what is still to be made: AWS would not find it."""
    step = RunInstance(
        launch=Launch(generation=generation, public_key=_SOME_KEY, user_data=""),
        launchable=launchable,
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
