"""IAM policies for gpu-box: its user's, in two variants, and those that an administrator creates once.

The files in infra/ say `arn:aws`; other partitions have other ARNs (IAM User Guide, "Amazon Resource Names").

A user who may create roles and their policies can become administrator. So the first variant creates none,
and hands on one role that an administrator created. The second creates roles within a permissions boundary
only, and cannot change it ("Permissions boundaries for IAM entities", "Delegating responsibility to
others using permissions boundaries":
https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html).
"""

from __future__ import annotations

import json
from string import Template
from typing import Any

from gpu_box.aws import tags
from gpu_box.config.model import Config
from gpu_box.resources import infra

ROLE = "gpu-box-deadline"  # created by an administrator, for every region
BOUNDARY = "gpu-box-boundary"
POLICY_NAME = "stop-boxes"
SCHEDULER = "scheduler.amazonaws.com"
MOST_CHARACTERS = 6144  # of a managed policy, without white space (IAM User Guide, "IAM and AWS STS quotas")
Document = dict[str, Any]
# Actions that could give a role more permissions than intended.
_BOUNDED = {"iam:CreateRole", "iam:PutRolePolicy"}


def partition_of(region: str) -> str:
    """The region's partition from the SDK's data: aws, aws-us-gov; aws for an unknown region."""
    import botocore.session
    from botocore.exceptions import UnknownRegionError

    try:
        return str(botocore.session.get_session().get_partition_for_region(region))
    except UnknownRegionError:
        return "aws"


def user_policy(config: Config, partition: str, *, boundary: bool = False) -> Document:
    """The policy for gpu-box's AWS user. boundary: it may create roles, within a permissions boundary."""
    policy = _read("operator-policy.json", config, partition)
    statements: list[Document] = policy["Statement"]
    if boundary:
        statements += _within_boundary(config, partition)
    if config.aws.role_path != "/":
        # For a role that does not exist, AWS knows only the name.
        for statement in statements:
            if statement["Action"] == "iam:GetRole":
                by_path = statement["Resource"]
                statement["Resource"] = [by_path.replace(config.aws.role_path, "/"), by_path]
    if config.aws.deadline_role and not boundary:
        for statement in statements:
            if statement["Action"] in ("iam:GetRole", "iam:PassRole"):
                statement["Resource"] = config.aws.deadline_role
    for statement in statements:
        keys = statement.get("Condition", {}).get("ForAllValues:StringLike", {}).get("aws:TagKeys")
        if isinstance(keys, list):  # the tags of an instance that AWS relaunched
            keys += [key for key, _ in config.aws.tags]
    if config.aws.kms_key:
        statements += _read("disk-key.json", config, partition)["Statement"]
    return policy


def boundary_policy(partition: str) -> Document:
    """The permissions boundary: the most that a role within it can do."""
    return _of_partition(_text("boundary.json"), partition)["boundary"]  # type: ignore[no-any-return]


def role_documents(partition: str, *, region: str, account: str | None = None) -> tuple[Document, Document]:
    """Trust policy and permissions of the deadline's role.

    region: "*" for every region. account: the only one whose schedules may assume it ("Confused deputy
    prevention", EventBridge Scheduler User Guide: the condition names the schedule group, not the schedule).
    """
    text = Template(_text("deadline-role.json")).substitute(partition=partition, region=region)
    documents = json.loads(text)
    if account:
        group = f"arn:{partition}:scheduler:{region}:{account}:schedule-group/default"
        documents["trust"]["Statement"][0]["Condition"] = {
            "StringEquals": {"aws:SourceAccount": account},
            "ArnLike": {"aws:SourceArn": group},
        }
    return documents["trust"], documents["permissions"]


def lets_scheduler_assume(trust: Any) -> bool:
    """Whether a parsed trust policy allows EventBridge Scheduler; conditions are ignored."""
    statements = trust.get("Statement", []) if isinstance(trust, dict) else []
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        if statement.get("Effect") == "Allow" and SCHEDULER in (
            [services] if isinstance(services, str) else services
        ):
            return True
    return False


def _within_boundary(config: Config, partition: str) -> list[Document]:
    """Statements that allow creating roles, but not changing their boundary."""
    roles = _read("operator-roles.json", config, partition)["Statement"]
    extra = _read("boundary.json", config, partition)
    if own := config.aws.permissions_boundary:
        extra["condition"]["StringLike"]["iam:PermissionsBoundary"] = own
        extra["keep"][0]["Resource"] = own
    for statement in roles:
        if _BOUNDED & set(statement["Action"]):
            statement["Condition"] = extra["condition"]
    return [*roles, *extra["keep"]]


def _read(name: str, config: Config, partition: str) -> Document:
    """A file of infra/ for this config's roles, key and partition."""
    text = _text(name).replace(":role/gpu-box-", f":role{config.aws.role_path}gpu-box-")
    text = text.replace("arn:aws:kms:*:*:key/*", config.aws.kms_key or "")
    return _of_partition(text, partition)


def _of_partition(text: str, partition: str) -> Document:
    document: Document = json.loads(text.replace('"arn:aws:', f'"arn:{partition}:'))
    return document


def _text(name: str) -> str:
    return infra(name).read_text(encoding="utf-8")


def role_commands(config: Config, partition: str) -> str:
    """Shell commands with which an administrator creates the deadline's role, for all regions and users."""
    trust, permissions = role_documents(partition, region="*", account="$account")
    path = "" if config.aws.role_path == "/" else f" --path {config.aws.role_path}"
    limit = config.aws.permissions_boundary
    bounded = f" \\\n  --permissions-boundary {limit}" if limit else ""
    labels = tags.as_list({"Name": ROLE, **dict(config.aws.tags)})
    return f"""\
# For an administrator: creates the role with which EventBridge Scheduler stops the boxes of this account.
set -eu
account=$(aws sts get-caller-identity --query Account --output text)
aws iam create-role --role-name {ROLE}{path} \\
  --description 'Lets EventBridge Scheduler stop the instances of gpu-box'{bounded} \\
  --tags '{json.dumps(labels, ensure_ascii=False)}' \\
  --assume-role-policy-document "{_inline(trust)}"
aws iam put-role-policy --role-name {ROLE} --policy-name {POLICY_NAME} \\
  --policy-document "{_inline(permissions)}"
# For spot instances; it fails if the account has had one before.
aws iam create-service-linked-role --aws-service-name spot.amazonaws.com || true
echo "In config.yaml of every user, who needs what 'gpu-box policy' prints:"
echo "aws:"
echo "  deadline_role: arn:{partition}:iam::$account:role{config.aws.role_path}{ROLE}"
"""


def boundary_commands(config: Config, partition: str) -> str:
    """Shell commands with which an administrator creates the permissions boundary."""
    return f"""\
# For an administrator: creates the permissions boundary of the roles that users of gpu-box create.
set -eu
account=$(aws sts get-caller-identity --query Account --output text)
aws iam create-policy --policy-name {BOUNDARY} \\
  --description 'The most that roles of gpu-box can do: stop its instances' \\
  --tags '{json.dumps(tags.as_list({"Name": BOUNDARY, **dict(config.aws.tags)}), ensure_ascii=False)}' \\
  --policy-document "{_inline(boundary_policy(partition))}"
echo "In config.yaml of every user, who needs what 'gpu-box policy --boundary' prints:"
echo "aws:"
echo "  permissions_boundary: arn:{partition}:iam::$account:policy/{BOUNDARY}"
"""


def _inline(document: Document) -> str:
    """A here-document, in which the shell replaces $account."""
    return f"$(cat <<JSON\n{json.dumps(document, indent=2)}\nJSON\n)"
