"""Questions before a change: another owner's box, a large upload, files that go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_box.cli.context import Options

if TYPE_CHECKING:
    from gpu_box.aws.client import Cloud

_MOST_NAMES = 30
Force = Annotated[bool, typer.Option("--force", help="Also change another owner's box, after a question.")]


def consented(
    opts: Options, doing: str, *, force: bool, check: Callable[[Cloud], object] = lambda _: None
) -> Cloud:
    """The command's Cloud, after the question if --force is given. doing: the verb, capitalised ("Stop").

    check: raises for what the command would refuse after the question.
    """
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
    agreed = cloud.sharing(replace(cloud.config, any_owner=True))
    check(agreed)
    opts.confirm(f"The box {cloud.config.name} belongs to {whose}, not to you. {doing} it anyway?")
    return agreed


def before_upload(opts: Options, cloud: Cloud, check: Callable[[Cloud], object]) -> None:
    """Ask about a second project in ~/work and a large upload; with --yes, note them.

    check: of each box, raises for what the command would refuse after the questions.
    """
    from gpu_box.box import upload
    from gpu_box.box.members import each_member, members_of

    ahead = upload.ahead(cloud)
    if ahead is None:
        return
    if ahead.questions and opts.can_ask:
        each_member(members_of(cloud), lambda member, _: check(member), opts.reporter())
    for question in ahead.questions:
        if opts.yes:
            opts.reporter().note(question)
        opts.confirm(question)
    upload.agreed(cloud, ahead)


def before_deletion(opts: Options, members: Sequence[Cloud]) -> None:
    """Name the files that `sync --delete` would remove, and ask."""
    from gpu_box.box import work
    from gpu_box.box.members import each_member

    if opts.yes:
        return
    found = each_member(members, lambda member, _: work.gone(member), opts.reporter())
    paths = sorted({path for one in found for path in one})
    if paths:
        names = ", ".join(path if path.isprintable() else ascii(path) for path in paths[:_MOST_NAMES])
        more = f" and {len(paths) - _MOST_NAMES} more" if len(paths) > _MOST_NAMES else ""
        files = "1 file" if len(paths) == 1 else f"{len(paths)} files"
        opts.confirm(f"Remove {files} from the box: {names}{more}?")
