"""`sweep` and `doctor` as text: the most expensive first, unread regions, remedies."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from gpu_box.aws.doctor import Check
from gpu_box.model.leftovers import Leftover, Swept, Unread
from gpu_box.view.console import fitted
from gpu_box.view.doctor import checks_table
from gpu_box.view.sweep import removal_lines, removed_view, sweep_view

from .conftest import Draw

MADE = datetime(2026, 8, 1, 12, tzinfo=UTC)
INSTANCE = Leftover(
    kind="instance", id="i-0123456789abcdef0", region="eu-west-2", box="ada-2", owner="ada", state="running",
    since=MADE, usd_month=Decimal("464.426"), note="g4dn.xlarge",
)  # fmt: skip
VOLUME = Leftover(
    kind="volume", id="vol-0123456789abcdef0", region="us-east-1", state="available",
    since=MADE, usd_month=Decimal("8"), note="100 GiB gp3",
)  # fmt: skip
ROLE = Leftover(kind="role", id="gpu-box-ada-2-eu-west-2", region="global", box="ada-2", owner="ada")
UNPRICED = Leftover(kind="instance", id="i-1", region="us-east-1", usd_month=None, note="trn9.huge")


def swept(*found: Leftover, unread: tuple[Unread, ...] = ()) -> Swept:
    usd = sum((one.usd_month or Decimal(0) for one in found), Decimal(0))
    return Swept(regions=("eu-west-2", "us-east-1"), found=found, usd_month=usd, unread=unread)


def test_what_others_wrote_is_shown_and_not_obeyed(draw: Draw) -> None:
    hostile = replace(INSTANCE, box="ada\u202e\x9b2J", note="\x1b]0;pwned\x07")
    for said in (draw(sweep_view(swept(hostile))), fitted(removal_lines([hostile]), sys.stderr)):
        assert r"ada\u202e\x9b2J" in said and not {"\u202e", "\x9b", "\x1b", "\x07"} & set(said)


def test_the_dearest_comes_first_and_the_sum_last(draw: Draw) -> None:
    shown = draw(sweep_view(swept(ROLE, VOLUME, INSTANCE)))
    assert (
        shown
        == """\
ada-2 (ada), eu-west-2
  instance  i-0123456789abcdef0      running    $464.43  g4dn.xlarge
of no box, us-east-1
  volume    vol-0123456789abcdef0    available    $8.00  100 GiB gp3
ada-2 (ada), global
  role      gpu-box-ada-2-eu-west-2
$472.43 a month at present, in 2 regions."""
    )


def test_what_has_no_known_price_is_said_not_counted_as_nothing(draw: Draw) -> None:
    shown = draw(sweep_view(swept(VOLUME, UNPRICED)), width=120)
    assert "?  trn9.huge" in shown
    assert shown.endswith("$8.00 a month at present plus whatever has no known price, in 2 regions.")


def test_a_region_that_was_not_read_is_not_called_empty(draw: Draw) -> None:
    shown = draw(sweep_view(swept(unread=(Unread(region="eu-west-2", why="no answer"),))))
    assert shown.splitlines() == [
        "Nothing is left in 1 of 2 regions.",
        "NOT checked: eu-west-2: no answer",
    ]


def test_a_removal_is_confirmed_line_by_line() -> None:
    assert removal_lines([ROLE, INSTANCE]).splitlines() == [
        "  eu-west-2  instance i-0123456789abcdef0 (running) of ada-2",
        "  global  role gpu-box-ada-2-eu-west-2 of ada-2",
    ]


def test_what_did_not_go_is_shown_with_its_reason(draw: Draw) -> None:
    gone = draw(removed_view(2, [], []))
    assert gone == "Removed 2; nothing of yours is left in any region (read back from AWS)."
    left = draw(removed_view(2, [ROLE], [Unread(region="global", why="you may not")]), width=120)
    assert "gpu-box-ada-2-eu-west-2" in left
    assert left.endswith("global: you may not\nRun it again to continue.")


def test_a_check_that_failed_has_its_remedy_below_it(draw: Draw) -> None:
    checks = [
        Check(name="credentials", ok=True, line="arn:aws:iam::1:user/ada"),
        Check(name="quota", ok=False, line="0 of 0 vCPUs", remedy="Ask for more."),
    ]
    assert (
        draw(checks_table(checks))
        == """\
ok  credentials  arn:aws:iam::1:user/ada
NO  quota        0 of 0 vCPUs
                 Ask for more."""
    )
