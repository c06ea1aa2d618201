"""`init`: four questions, each with its prices, and a config.yaml."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_box.cli.completion import instance_types
from gpu_box.cli.context import ask_code, enter_embedded_cloud, options, show
from gpu_box.errors import GpuBoxError, InputError, Unanswered

if TYPE_CHECKING:
    from gpu_box.config.write import Answers


def register(app: typer.Typer) -> None:
    app.command("init", rich_help_panel="The box")(init_command)


def init_command(
    context: typer.Context,
    region: Annotated[str | None, typer.Option("--region", help="AWS region.")] = None,
    instance_type: Annotated[
        str | None,
        typer.Option("--type", "--instance-type", help="GPU instance type.", autocompletion=instance_types),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="USD", help="Stop the box at this cost a month: 50, or none."),
    ] = None,
    max_hours: Annotated[
        str | None, typer.Option("--max-hours", help="AWS stops the box after this long: 12h.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing config.yaml.")] = False,
) -> None:
    """Write a config.yaml. Asks for region, instance type, budget and time limit; each has a default."""
    from gpu_box.aws.client import Cloud
    from gpu_box.box import offers
    from gpu_box.config import place, write
    from gpu_box.config.model import Config
    from gpu_box.view.offers import budget_line, quota_lines, regions_table, types_table, written_lines

    opts = options(context)
    path = opts.config or Path("config.yaml")
    write.check(
        name=opts.name, region=region, instance_type=instance_type, budget=budget, max_hours=max_hours
    )
    asking = not (opts.yes or opts.json)
    above = None if opts.config else place.find()
    write.refuse_unwritable(path)
    to_a_person = asking and sys.stdin.isatty()
    write.refuse_existing(path, force=force or to_a_person)
    opts.waiting("fetching prices")
    if opts.local:
        enter_embedded_cloud()

    chosen = replace(
        write.DEFAULTS,
        name=opts.name or write.proposed_name(getpass.getuser(), path.absolute().parent),
        region=region or write.default_region(),
        instance_type=instance_type or write.DEFAULTS.instance_type,
        max_hours=max_hours or write.DEFAULTS.max_hours,
    )
    account = offers.account(Cloud(Config(region=chosen.region), ask_code=ask_code))
    settled = not asking or bool(region and instance_type)
    if settled:
        offers.require_type(account, chosen.instance_type)
    if above and above.is_absolute():
        line = f"{above} applies to this folder; a config.yaml here makes it a separate project"
        if to_a_person:
            opts.confirm(f"{line}. Write it?")
        else:
            opts.reporter().note(line)
    if to_a_person and not force and os.path.exists(path):
        force = opts.agrees(f"{path} already exists. Replace it?")
    write.refuse_existing(path, force=force)
    if asking and not region:
        regions = offers.regions(account, chosen.instance_type)
        show(regions_table(regions, chosen.instance_type))
        chosen = _ask("region", "AWS region", chosen, check=lambda name: account.elsewhere(name))
        account = account.elsewhere(chosen.region)
        opts.waiting("fetching prices")
    if asking and not instance_type:
        show(types_table(offers.types(account)))
        chosen = _ask(
            "instance_type", "Instance type", chosen, check=lambda name: offers.require_type(account, name)
        )
        opts.waiting("checking your quota")
    elif not settled:
        offers.require_type(account, chosen.instance_type)
    price, quota = account.price(chosen.instance_type), offers.quota(account, chosen.instance_type)
    if asking:
        show(quota_lines(quota))
    chosen = replace(chosen, budget=budget or str(offers.fitting_budget(price)))
    if asking and not budget:
        show(budget_line(price, write.budget_of(chosen)))
        chosen = _ask("budget", "Maximum US dollars a month (or none)", chosen)
    if asking and not max_hours:
        chosen = _ask("max_hours", "Maximum run time", chosen)
    write.write(path, chosen)
    written = offers.Written.of(path, chosen, price, quota)
    opts.show(written, lambda: written_lines(written, quota=not asking))


def _ask(
    question: str, title: str, chosen: Answers, *, check: Callable[[str], object] | None = None
) -> Answers:
    """Ask until the answer is valid. The default is the choice so far. Answers may come from a pipe."""
    from gpu_box.config import write

    def parse(answer: str) -> str:
        answer = answer.strip()
        try:
            write.parse(question, answer)
            if check:
                check(answer)
        except (ValueError, GpuBoxError) as error:
            raise typer.BadParameter(str(error)) from None
        return answer

    try:
        answer = typer.prompt(title, default=getattr(chosen, question), value_proc=parse)
    except typer.Abort:
        if sys.stdin.isatty():
            raise Unanswered from None
        raise InputError(
            f"cannot ask for {title!r}, because there is no terminal",
            where="init",
            remedy="Pass --yes for the defaults, or --region, --type, --budget and --max-hours.",
        ) from None
    return replace(chosen, **{question: answer})
