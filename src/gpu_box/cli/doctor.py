"""What an account must allow: doctor, policy."""

from __future__ import annotations

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
        bool, typer.Option("--request-quota", help="Ask AWS for the vCPU quota that is missing.")
    ] = False,
) -> None:
    """Check credentials, permissions, vCPU quota, network, clock and tools: ok, or what to do."""
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


def policy_command() -> None:
    """Print the least that gpu-box needs of IAM, as a policy for the AWS user who types its commands."""
    from gpu_box.resources import infra

    print(infra("operator-policy.json").read_text(encoding="utf-8"), end="")


def _request(opts: Options, cloud: Cloud) -> None:
    from gpu_box.aws.quotas import request_increase
    from gpu_box.box.doctor import missing_quotas

    lacking = missing_quotas(cloud)
    lines, made = ["" if lacking else "No quota is missing: nothing is asked for."], []
    for uses in lacking:
        vcpus = max(use.used + use.wanted for use in uses)
        opts.confirm(f"Ask AWS for {vcpus} vCPUs of '{uses[0].name}' ({uses[0].code})?")
        asked = request_increase(cloud, uses)
        made.append(asked)
        request = asked.request
        how = "asked AWS" if request.new else "AWS has been asked already"
        lines.append(
            f"{asked.name}: {how} for {request.vcpus} vCPUs ({request.status.lower()}, {request.id})"
        )
    opts.show(made, lambda: "\n".join(line for line in lines if line))
