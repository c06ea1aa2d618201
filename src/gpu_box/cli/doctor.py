"""Commands about the account: doctor, policy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_box.cli.context import Options, options
from gpu_box.cli.lazy import command_name

if TYPE_CHECKING:
    from gpu_box.aws.client import Cloud


def register(app: typer.Typer) -> None:
    for command in (doctor_command, policy_command):
        app.command(command_name(command), rich_help_panel="The account")(command)


def doctor_command(
    context: typer.Context,
    request_quota: Annotated[
        bool, typer.Option("--request-quota", help="Request the missing vCPU quota from AWS.")
    ] = False,
) -> None:
    """Check credentials, permissions, vCPU quota, network, clock and tools, with remedies."""
    from gpu_box.box.doctor import examine
    from gpu_box.view.doctor import checks_table

    opts = options(context)
    cloud = opts.cloud()
    if request_quota:
        _request(opts, cloud)
        return
    checks = examine(cloud)
    opts.show(checks, lambda: checks_table(checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def policy_command(
    context: typer.Context,
    role: Annotated[
        bool,
        typer.Option(
            "--role", help="Print the commands with which an administrator prepares the account, once."
        ),
    ] = False,
    boundary: Annotated[
        bool, typer.Option("--boundary", help="For users who create the role, within a permissions boundary.")
    ] = False,
) -> None:
    """Print the IAM policy for gpu-box's AWS user. It cannot create roles: an administrator does, see --role.

    A user who may create roles needs neither option.
    """
    from gpu_box.aws import permissions
    from gpu_box.config.read import load
    from gpu_box.config.write import default_region

    opts = options(context)
    config = load(opts.config, name=opts.name)
    partition = permissions.partition_of(config.region or default_region())
    if role:
        make = permissions.boundary_commands if boundary else permissions.role_commands
        print(make(config, partition), end="")
    else:
        policy = permissions.user_policy(config, partition, boundary=boundary)
        print(json.dumps(policy, indent=2))
        size = len(json.dumps(policy, separators=(",", ":")))
        if size > permissions.MOST_CHARACTERS:
            opts.reporter().note(
                f"it has {size:,} characters without spaces, and a managed policy may have "
                f"{permissions.MOST_CHARACTERS:,}: put some of its statements into a second one"
            )


def _request(opts: Options, cloud: Cloud) -> None:
    from gpu_box.aws.quotas import request_increase
    from gpu_box.box.doctor import missing_quotas

    lacking = missing_quotas(cloud)
    lines, made = ["" if lacking else "No quota is missing: nothing is requested."], []
    for uses in lacking:
        vcpus = max(use.used + use.wanted for use in uses)
        opts.confirm(f"Request {vcpus} vCPUs of '{uses[0].name}' ({uses[0].code})?")
        asked = request_increase(cloud, uses)
        made.append(asked)
        request = asked.request
        how = "requested" if request.new else "already requested"
        lines.append(f"{asked.name}: {how} {request.vcpus} vCPUs ({request.status.lower()}, {request.id})")
    opts.show(made, lambda: "\n".join(line for line in lines if line))
