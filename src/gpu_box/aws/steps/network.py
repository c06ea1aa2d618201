"""Carry out the steps for the key pair and the security group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from gpu_box.aws import requests, tags
from gpu_box.aws.answers import listed
from gpu_box.aws.deletion import delete_when_free
from gpu_box.aws.errors import code_of, translated
from gpu_box.aws.security_group import foreign_rules, ssh_permission
from gpu_box.aws.steps.work import Work, delete, race_if
from gpu_box.errors import CloudError
from gpu_box.model.observed import Cidr, KeyPair, SecurityGroup
from gpu_box.plan.steps import (
    AllowSsh,
    CreateSecurityGroup,
    DeleteKeyPair,
    DeleteSecurityGroup,
    ImportKeyPair,
    RemoveForeignRules,
    ReplaceKeyPair,
)

_IN_USE = "DependencyViolation"
_GROUP_IN_USE_S = 15.0  # per round; a few rounds take two minutes


def import_key_pair(step: ImportKeyPair, work: Work) -> None:
    config = work.cloud.config
    with translated("importing the key pair"):
        try:
            made = work.cloud.ec2.import_key_pair(**requests.key_pair(config, step.public_key))
        except ClientError as error:
            if code_of(error) == "InvalidKeyPair.Duplicate":
                named = [{"Name": "key-name", "Values": [tags.resource_name(config)]}]
                _require_ours(work, "key pair", "describe_key_pairs", Filters=named)
            race_if(error, "InvalidKeyPair.Duplicate", "the key pair already exists")
    pair = KeyPair(id=made["KeyPairId"], name=made["KeyName"], public_key=step.public_key)
    work.know(key_pair=pair)


def _require_ours(work: Work, kind: str, operation: str, **asked: Any) -> None:
    """Raise CloudError if the resource with the box's name lacks the box's tag. Not shown yet: no error."""
    answer = getattr(work.cloud.ec2, operation)(**asked)
    found = next((value for value in answer.values() if isinstance(value, list)), [])
    if found and not any(tags.NAME in tags.tag_map(one) for one in found):
        name = tags.resource_name(work.cloud.config)
        raise CloudError(
            f"there is a {kind} {name} in {work.cloud.region} that gpu-box did not create",
            where="name",
            remedy=f"Set another `name:` in config.yaml, or remove that {kind} in the EC2 console.",
        )


def _require_no_twin(work: Work, vpc_id: str) -> None:
    """Raise CloudError for a group whose name differs only in case: EC2 takes them for the same, filters not.

    vpc_id: "" for the default VPC. Source: EC2 API, CreateSecurityGroup, GroupName.
    """
    name, ec2 = tags.resource_name(work.cloud.config), work.cloud.ec2
    filters = [{"Name": "vpc-id", "Values": [vpc_id]}] if vpc_id else []
    for group in listed(ec2, "describe_security_groups", Filters=filters):
        if group["GroupName"] != name and group["GroupName"].casefold() == name.casefold():
            raise CloudError(
                f"there is a security group {group['GroupName']}, and AWS does not tell capital letters "
                "from small ones",
                where="name",
                remedy="Set another `name:` in config.yaml.",
            )


def replace_key_pair(step: ReplaceKeyPair, work: Work) -> None:
    delete(work, "replacing the key pair", "delete_key_pair", KeyName=step.key_name)
    import_key_pair(ImportKeyPair(public_key=step.public_key), work)


def delete_key_pair(step: DeleteKeyPair, work: Work) -> None:
    delete(work, "removing the key pair", "delete_key_pair", KeyName=step.key_name)


def create_security_group(step: CreateSecurityGroup, work: Work) -> None:
    config, ec2 = work.cloud.config, work.cloud.ec2
    request = requests.security_group(config, vpc_id=step.vpc_id, generation=step.generation)
    with translated("creating the security group"):
        try:
            group_id = ec2.create_security_group(**request)["GroupId"]
        except ClientError as error:
            if code_of(error) == "InvalidGroup.Duplicate":
                named = [{"Name": "group-name", "Values": [tags.resource_name(config)]}]
                _require_ours(work, "security group", "describe_security_groups", Filters=named)
                _require_no_twin(work, request.get("VpcId", ""))
            race_if(error, "InvalidGroup.Duplicate", "the security group already exists")
    _allow(work, group_id, step.ssh_from)
    group = SecurityGroup(
        id=group_id,
        generation=step.generation,
        ssh_from=frozenset(step.ssh_from),
        owner=tags.owner_tag(config),
    )
    work.know(group=group)


def allow_ssh(step: AllowSsh, work: Work) -> None:
    # Allow before revoking, so that the user is never locked out.
    _allow(work, step.group_id, step.allow)
    if step.revoke:
        revoke = partial(work.cloud.ec2.revoke_security_group_ingress, GroupId=step.group_id)
        with translated("closing port 22 to an old address"):
            _change_rules(revoke, step.revoke, "InvalidPermission.NotFound")
    group = work.observed.group
    if group:
        allowed = (group.ssh_from | set(step.allow)) - set(step.revoke)
        work.know(group=replace(group, ssh_from=allowed))


def remove_foreign_rules(step: RemoveForeignRules, work: Work) -> None:
    ec2 = work.cloud.ec2
    with translated("removing rules of the security group"):
        found = ec2.describe_security_groups(Filters=tags.of_box(work.cloud.config))["SecurityGroups"]
        for raw in found:
            # The user did not agree to remove rules added since.
            shown = [
                permission
                for permission, line in foreign_rules(raw)
                if line in step.rules and raw["GroupId"] == step.group_id
            ]
            if shown:
                ec2.revoke_security_group_ingress(GroupId=step.group_id, IpPermissions=shown)


def delete_security_group(step: DeleteSecurityGroup, work: Work) -> None:
    # A terminated instance's network interface leaves its group a little later; or another `up` has launched
    # into it, which the next round sees.
    with translated("removing the security group"):
        try:
            delete_when_free(
                work.cloud,
                "delete_security_group",
                in_use=[_IN_USE],
                timeout_s=_GROUP_IN_USE_S,
                GroupId=step.group_id,
            )
        except ClientError as error:
            race_if(error, _IN_USE, "the security group is still in use")


def _allow(work: Work, group_id: str, cidrs: Sequence[Cidr]) -> None:
    if not cidrs:
        return
    allow = partial(
        work.cloud.ec2.authorize_security_group_ingress, GroupId=group_id, **tags.rule_tags(work.cloud.config)
    )
    with translated("opening port 22 to your address"):
        try:
            _change_rules(allow, cidrs, "InvalidPermission.Duplicate")
        except ClientError as error:
            race_if(error, "InvalidGroup.NotFound", "a `down` removed the security group")


def _change_rules(change: Callable[..., object], cidrs: Sequence[Cidr], as_wanted: str) -> None:
    """Change the rules for these. as_wanted: AWS's code if one of them is as wanted already; it then changes
    none of the request's (EC2 API, AuthorizeSecurityGroupIngress and Revoke...), so the others go one by one.
    """
    try:
        change(IpPermissions=ssh_permission(cidrs))
    except ClientError as error:
        if code_of(error) != as_wanted:
            raise
        for cidr in cidrs if len(cidrs) > 1 else ():
            _change_rules(change, [cidr], as_wanted)
