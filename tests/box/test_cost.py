"""`cost` agrees with status and includes removed instances; a budget counts across `down` and `up`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from rich.console import Console
from rich.theme import Theme

from gpu_box.aws import tags
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.aws.tags import tag_instance
from gpu_box.box import cost, find, image, status, stop
from gpu_box.box.preview import Plan, preview
from gpu_box.box.spent import rates_of, remember
from gpu_box.config.model import Disk, Limits
from gpu_box.errors import InputError
from gpu_box.model.observed import BAKED
from gpu_box.model.results import StatusView
from gpu_box.model.spending import to_tags
from gpu_box.plan import budget
from gpu_box.store import ledger
from gpu_box.view.cost import cost_lines

from ..aws.conftest import Laptop


def test_a_running_box_costs_what_status_says_by_kind(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    mine.up()
    later = datetime.now(UTC) + timedelta(hours=3)
    found = cost.total(mine.cloud, now=later)
    price = read_price_of(mine.cloud, mine.observe().instance)  # type: ignore[arg-type]
    assert price.instance_hour and found.state == "running"
    spent = budget.spent(find.observe_box(mine.cloud), rates_of(price), now=later)  # type: ignore[arg-type]
    assert found.usd_month == spent.month and found.usd_session == spent.session
    total = sum((day.total for day in found.days.values()), Decimal(0))
    assert abs(total - sum((month.total for month in found.months.values()), Decimal(0))) < Decimal("1e-9")
    hours = Decimal(3)
    instance = sum((day.instance for day in found.days.values()), Decimal(0))
    address = sum((day.address for day in found.days.values()), Decimal(0))
    assert abs(instance - price.instance_hour * hours) < Decimal("0.01")
    assert abs(address - price.address_hour * hours) < Decimal("0.01")


def test_what_a_box_cost_is_not_forgotten_with_it(laptop: Callable[..., Laptop]) -> None:
    mine = laptop()
    mine.up()
    observed = find.observe_box(mine.cloud)
    rates = rates_of(read_price_of(mine.cloud, observed.instance))  # type: ignore[arg-type]
    assert rates
    remember(mine.cloud, observed)
    before = cost.total(mine.cloud)
    assert not any(day.gone for day in before.days.values())
    mine.down()
    after = cost.total(mine.cloud)
    assert after.state == "none"
    gone = sum((day.gone for day in after.days.values()), Decimal(0))
    assert gone > 0 and after.usd_month >= gone


def test_a_budget_holds_over_down_and_up(
    laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = laptop()
    mine.up()
    observed = find.observe_box(mine.cloud)
    today = datetime.now(UTC).date()
    # As if it had run for long: AWS's tags say so.
    assert observed.instance
    [(month, days)] = to_tags({today: Decimal(60)}).items()
    tag_instance(mine.cloud, observed.instance.id, {tags.USD_MONTH + month: days}, "spending")
    mine.down()
    poor = Laptop(replace(mine.config, limits=Limits(budget=Decimal(50))))
    with pytest.raises(InputError, match="this month's budget is spent: \\$60"):
        poor.up()
    assert poor.observe().instance is None
    assert cost.total(poor.cloud).warning is not None


def test_an_image_counts_as_long_as_it_is_there_once_and_after_it_is_gone(
    laptop: Callable[..., Laptop],
) -> None:
    mine = laptop(disk=Disk(size_gib=200))
    mine.up()
    mine.stop()
    image.end(mine.cloud, image.begin(mine.cloud, BAKED, mine.report), mine.report)
    later = datetime.now(UTC) + timedelta(hours=73)  # a tenth of a month
    tenth = Decimal("0.05") * 200 / 10  # $0.05 per GiB and month

    def images(found: cost.CostReport) -> Decimal:
        return sum((day.images for day in found.days.values()), Decimal(0))

    found = cost.total(mine.cloud, now=later)
    assert abs(images(found) - tenth) < Decimal("0.01")
    assert found.usd_month_images == Decimal(10)
    stop.bring_down(mine.cloud, mine.report, keep_images=True)
    kept = cost.total(mine.cloud, now=later)
    assert abs(images(kept) - tenth) < Decimal("0.01")
    assert sum((day.gone for day in kept.days.values()), Decimal(0)) < tenth, "not with the box once more"
    known = find.observe_box(mine.cloud)
    then = budget.snapshot_days(known.snapshots[0], later)
    ledger.note(mine.cloud.memory("ledger"), known.snapshots[0].id, then, today=later.date())
    mine.down()
    gone = cost.total(mine.cloud, now=later)
    assert images(gone) == 0
    assert sum((day.gone for day in gone.days.values()), Decimal(0)) > 0


def test_plan_status_and_cost_agree_to_the_cent_running_stopped_and_baked(
    laptop: Callable[..., Laptop],
) -> None:
    """As do `up` and all of them in the words of the command line, in tests/people/test_story.py."""
    mine = laptop(disk=Disk(size_gib=150, iops=6_000))

    def views() -> tuple[Plan, StatusView, cost.CostReport]:
        return preview(mine.cloud), status.status(mine.cloud), cost.total(mine.cloud)

    def agree() -> None:
        planned, seen, spent = views()
        assert planned.usd_hour == seen.usd_hour == spent.usd_hour
        assert planned.usd_month_stopped == seen.usd_month_stopped == spent.usd_month_stopped
        assert seen.usd_month_images == spent.usd_month_images
        for one, other in ((seen.usd_today, spent.usd_today), (seen.usd_month, spent.usd_month)):
            assert one and abs(one - other) < Decimal("0.005"), "a look a moment later"

    mine.up()
    agree()
    mine.stop()
    image.end(mine.cloud, image.begin(mine.cloud, BAKED, mine.report), mine.report)
    agree()


@pytest.mark.parametrize(
    ("month", "said"),
    [
        ("24.99", None),
        ("25", "over 50 %"),
        ("39.99", "over 50 %"),
        ("40", "over 80 %"),
        ("50", "budget is spent"),
        ("70", "$70.00 of $50.00 (140%)"),
    ],
)
def test_a_warning_comes_at_each_mark(month: str, said: str | None) -> None:
    warning = budget.budget_warning(Decimal(month), Decimal(50))
    assert (warning is None) if said is None else (warning is not None and said in warning)
    assert budget.budget_warning(Decimal(month), None) is None


def test_it_is_drawn_for_any_days(laptop: Callable[..., Laptop]) -> None:
    mine = laptop(limits=Limits(budget=Decimal(50)))
    theme = Theme({name: "default" for name in ("good", "warn", "quiet", "what")})
    console = Console(width=80, file=StringIO(), theme=theme)
    today = datetime.now(UTC).date()
    console.print(cost_lines(cost.total(mine.cloud), [today]))
    mine.up()
    console.print(cost_lines(cost.total(mine.cloud), [today - timedelta(days=1), today]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "INSTANCE" in text and "of $50.00 this month" in text and "if it stays stopped" in text
