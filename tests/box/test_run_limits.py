"""`up --for 3h --at-most 5`: limits of one run, held by AWS's deadline, which only a person extends."""

from __future__ import annotations

import os
import pty
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gpu_box.box import cluster, up
from gpu_box.cli.main import main
from gpu_box.config.model import Config, Limits
from gpu_box.errors import InputError, PermissionDenied
from gpu_box.model.observed import Instance, InstanceState, Observed
from gpu_box.model.spending import Rates
from gpu_box.plan import budget, limits
from gpu_box.plan.deadline import deadline_at, require_deadline

from ..aws.conftest import Laptop

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LAUNCHED = datetime.fromisoformat("2026-11-29T10:00:00+00:00")
RATES = Rates(hour=Decimal("0.5"), disk_month=Decimal("7.30"))
RUNNING = Instance(
    id="i-1", state=InstanceState.RUNNING, type="g4dn.xlarge", zone="us-east-1a", launched=LAUNCHED
)


def lasts(mine: Laptop) -> timedelta:
    """From the box's start to its deadline in AWS."""
    seen = mine.observe()
    assert seen.deadline and seen.instance
    return seen.deadline.at - seen.instance.launched


def test_the_deadline_in_aws_holds_both_limits_and_no_later_up_loosens_them(
    laptop: Callable[..., Laptop],
) -> None:
    hours = laptop(run_for=3 * HOUR)
    hours.up()
    assert timedelta(0) <= lasts(hours) - 3 * HOUR <= MINUTE
    plain = laptop()
    for loosen in (None, True):  # a person's yes to the config's limits, and --yes
        up.bring_up(plain.cloud, plain.public_key, plain.report, loosen=loosen)
        assert timedelta(0) <= lasts(plain) - 3 * HOUR <= MINUTE
    assert any("this run of the box is limited to 3 h" in line for line in plain.report.lines)
    longer = laptop(run_for=9 * HOUR)
    longer.up()
    assert lasts(longer) <= 3 * HOUR + MINUTE
    money = laptop(run_usd=Decimal(1))
    money.up()
    # $0.54 an hour with its disk's share: less than the three hours, which hold, too.
    assert 1.7 * HOUR < lasts(money) < 1.95 * HOUR
    money.stop()
    plain.up()
    assert lasts(plain) > 11 * HOUR, "the next run has the config's limits"
    assert not limits.run_shown(plain.observe().instance)


def test_an_amount_that_pays_for_no_run_starts_nothing(laptop: Callable[..., Laptop]) -> None:
    mine = laptop(run_usd=Decimal("0.05"))
    with pytest.raises(InputError, match=r"\$0\.05 pays for 5 min at \$0\.5\d+ an hour: nothing was started"):
        mine.up()
    assert mine.observe().instance is None


def test_extend_of_such_a_run_needs_a_terminal(
    laptop: Callable[..., Laptop],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = laptop(region="us-east-1", run_for=3 * HOUR, run_usd=Decimal(5))
    mine.up()
    before = lasts(mine)
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "home"))
    (tmp_path / "config.yaml").write_text(
        f"name: {mine.config.name}\nregion: us-east-1\nssh: {{key: {mine.config.ssh.key}}}\n"
        "network: {allow_ssh_from: [127.0.0.1]}\n"
    )
    monkeypatch.chdir(tmp_path)
    for words in (["extend", "1h"], ["--yes", "extend", "1h"]):
        assert main(words) == 2
        refused = capsys.readouterr().err
        assert "is limited to 3 h and $5.00, and only a person may extend it" in refused
        assert "Run it in a terminal" in refused
    assert lasts(mine) == before
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal, os.fdopen(ours, "w") as keys:
        monkeypatch.setattr("sys.stdin", terminal)
        keys.write("n\n")
        keys.flush()
        assert main(["extend", "1h"]) == 1
        assert "is limited to 3 h and $5.00. Extend it by 1 h?" in capsys.readouterr().err
        assert lasts(mine) == before
        keys.write("y\n")
        keys.flush()
        # The machine was never set up: AWS's part is done before it.
        assert main(["extend", "1h"]) == 1
    assert lasts(mine) == before + HOUR
    assert limits.run_shown(mine.observe().instance) in ("4 h and $5.00", "4 h 01 min and $5.00")
    again = laptop(region="us-east-1", run_for=3 * HOUR, run_usd=Decimal("0.01"))
    for one in (laptop(region="us-east-1"), mine, again):  # the next `up`, the same one, a tighter one
        one.up()
        assert lasts(mine) == before + HOUR, "the run is as long as the person made it"
    assert "a person has extended it, and --for and --at-most do not take that back" in again.report.lines[0]
    assert not limits.changed(limits.kept(again.config, mine.observe().instance)[0], mine.observe().instance)
    mine.stop()
    mine.up()
    assert lasts(mine) <= 3 * HOUR + MINUTE, "the next run has the limits of its own `up`"


def test_wrong_limits_are_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words, said in (
        (["--for", "3"], "--for: '3' is not a duration such as 30m, 2h or 1h30m; 3m or 3h?"),
        (["--for", "1m"], "--for: 1m is out of range: 10 min to 30 d"),
        (["--at-most", "0"], "--at-most: '0' is not an amount above zero"),
        (["--at-most", "five"], "--at-most: 'five' is not an amount of US dollars"),
        (["--at-most", "1000000"], "--at-most: 1000000 is out of range: at most $100,000"),
        (
            ["--for", "1h", "--without-deadline"],
            "held by the deadline in AWS, which --without-deadline leaves",
        ),
    ):
        assert main(["up", *words]) == 2
        assert said in " ".join(capsys.readouterr().err.split())
    for usd in (Decimal(0), Decimal(-1), Decimal("nan"), Decimal("inf"), Decimal("1e-9"), Decimal("1e30")):
        with pytest.raises(InputError):
            cluster.limited(Config(), usd=usd)
    for span in (timedelta(0), timedelta(-1), timedelta.max):
        with pytest.raises(InputError):
            cluster.limited(Config(), span=span)


def test_an_amount_from_python_may_be_a_plain_number() -> None:
    for usd in (5, 5.0, Decimal(5)):
        assert cluster.limited(Config(boxes=2), usd=usd).run_usd == Decimal("2.5")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("usd", "span"),
    [("1", 100 * 60 / 51), ("0.01", 10.0), ("100000", 365 * 24 * 60)],
)
def test_the_amount_counts_the_disk_from_the_start_of_the_box(usd: str, span: float) -> None:
    """$0.50 and a disk of a cent an hour. Once it runs, it is let run for ten minutes."""
    rates = replace(RATES, disk_month=RATES.disk_month)
    assert abs(rates.disk(HOUR) - Decimal("0.01")) < Decimal("0.001")
    end = budget.run_end(Config(run_usd=Decimal(usd)), RUNNING, rates, now=LAUNCHED + 3 * HOUR)
    assert end is not None
    assert abs((end - LAUNCHED) / MINUTE - span) < span / 500


def test_an_unknown_price_or_no_deadline_in_aws_is_refused() -> None:
    with pytest.raises(InputError, match="the price of this instance type is unknown"):
        budget.run_end(Config(run_usd=Decimal(5)), None, None, now=LAUNCHED)
    unarmed = Observed(region="us-east-1", instances=(RUNNING,), deadline_unavailable="no permission")
    require_deadline(Config(), unarmed)
    for config in (Config(run_usd=Decimal(5)), Config(run_for=HOUR)):
        with pytest.raises(PermissionDenied):
            require_deadline(config, unarmed)


def test_the_shorter_of_the_run_and_the_config_counts() -> None:
    assert deadline_at(Config(run_for=HOUR), LAUNCHED) == LAUNCHED + HOUR
    short = Config(run_for=3 * HOUR, limits=Limits(max_hours=2 * HOUR))
    assert deadline_at(short, LAUNCHED) == LAUNCHED + 2 * HOUR


def test_boxes_of_a_cluster_share_the_amount() -> None:
    config = cluster.limited(Config(boxes=3), span=HOUR, usd=Decimal(5))
    assert config.run_for == HOUR
    instance = replace(RUNNING, limits=limits.tag(config))
    assert limits.with_run(Config(), instance).run_usd == Decimal(5) / 3
    assert limits.with_run(config, instance) == config
    assert not limits.changed(config, instance)


@pytest.mark.parametrize(
    "words", ["run_extended=1", "run_for=x run_usd=-1", "run_usd=NaN", "run_for=99999999999"]
)
def test_a_tag_edited_by_hand_limits_nothing(words: str) -> None:
    assert limits.run_shown(replace(RUNNING, limits=words)) == ""


def test_a_config_without_them_keeps_the_tag_that_older_versions_wrote() -> None:
    assert "run_" not in limits.tag(Config())
