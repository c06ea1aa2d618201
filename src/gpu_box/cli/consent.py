"""--force: another owner's box may be changed, too, once the user has said so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_box.cli.context import Options

if TYPE_CHECKING:
    from gpu_box.aws.client import Cloud

Force = Annotated[bool, typer.Option("--force", help="Another owner's box, too; asks first.")]


def consented(opts: Options, doing: str, *, force: bool) -> Cloud:
    """AWS for this command's box. doing: the question's verb, capitalised ("Stop")."""
    cloud = opts.cloud()
    if not force:
        return cloud
    from gpu_box.aws.observe import observe
    from gpu_box.aws.tags import owner_tag
    from gpu_box.box.members import each_member, members_of
    from gpu_box.plan.ownership import other_owner

    members = members_of(cloud)
    seen = each_member(members, lambda member, _: observe(member), opts.reporter())
    owners = {other_owner(one, owner_tag(cloud.config)) for one in seen} - {""}
    if not owners:
        return cloud
    whose = " and ".join(sorted(owners))
    opts.confirm(f"The box {cloud.config.name} is {whose}'s, not yours. {doing} it all the same?")
    return cloud.sharing(replace(cloud.config, any_owner=True))
