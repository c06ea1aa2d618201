"""The limits of a running box are loosened only on request, in every folder and with every config."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gpu_box.aws.client import Cloud
from gpu_box.box import up
from gpu_box.box.preview import preview
from gpu_box.cli.main import main
from gpu_box.config.model import Config, Idle, Limits
from gpu_box.model.observed import Instance, InstanceState
from gpu_box.plan import limits

from ..aws.conftest import Laptop

HOUR = timedelta(hours=1)
TIGHT = Limits(max_hours=2 * HOUR, budget=Decimal(20))


@pytest.fixture
def tight(laptop: Callable[..., Laptop]) -> Iterator[Laptop]:
    one = laptop(limits=TIGHT, idle=Idle(after=timedelta(minutes=10)))
    one.up()
    yield one


def deadline(mine: Laptop) -> datetime:
    found = mine.observe().deadline
    assert found is not None
    return found.at


def test_up_with_the_defaults_leaves_the_deadline_of_a_running_box_and_says_so(
    tight: Laptop, laptop: Callable[..., Laptop]
) -> None:
    before, noted = deadline(tight), tight.observe().instance
    other = laptop()  # without a config.yaml
    other.up()
    assert deadline(tight) == before
    assert tight.observe().instance == noted
    [said] = [line for line in other.report.lines if "keeps its limits" in line]
    for words in (
        "limits.max_hours is 2 h on the box and 12 h in the config",
        "limits.budget is $20.00 on the box and not set in the config",
        "idle.after is 10 min on the box and 30 min in the config",
    ):
        assert words in said


def test_consent_loosens_them_and_without_an_answer_it_is_asked(
    tight: Laptop, laptop: Callable[..., Laptop]
) -> None:
    before, other = deadline(tight), laptop()
    with pytest.raises(limits.LooserLimits) as asked:
        up.bring_up(other.cloud, other.public_key, other.report, loosen=None)
    assert len(asked.value.lines) == 3 and deadline(tight) == before
    up.bring_up(other.cloud, other.public_key, other.report, loosen=True)
    assert deadline(tight) >= before + 9 * HOUR
    assert any("limits loosened: limits.max_hours is 2 h on the box" in line for line in other.report.lines)
    seen = other.observe().instance
    assert seen and seen.limits == limits.tag(other.config)
    other.report.lines.clear()
    other.up()
    assert not other.report.lines, "once"


def test_a_config_that_tightens_one_limit_and_loosens_another_gets_the_tighter_of_each(
    tight: Laptop, laptop: Callable[..., Laptop]
) -> None:
    other = laptop(limits=Limits(max_hours=HOUR))
    other.up()
    seen = tight.observe().instance
    assert seen
    ruling = limits.kept(other.config, seen)[0]
    assert ruling.limits == Limits(max_hours=HOUR, budget=Decimal(20))
    assert seen.limits == limits.tag(ruling)


def test_a_stopped_box_starts_with_the_config_s_limits_and_says_what_is_looser(
    tight: Laptop, laptop: Callable[..., Laptop]
) -> None:
    tight.stop()
    other = laptop()
    other.up()
    assert any("limits loosened: limits.max_hours is 2 h" in line for line in other.report.lines)
    seen = other.observe().instance
    assert seen and seen.limits == limits.tag(other.config)


def test_tighter_limits_move_the_deadline_of_a_running_box_and_looser_ones_move_it_back(
    laptop: Callable[..., Laptop],
) -> None:
    first = laptop()
    first.up()
    seen = first.observe().instance
    assert seen
    for max_hours in (3 * HOUR, 24 * HOUR, 12 * HOUR):
        one = laptop(limits=Limits(max_hours=max_hours))
        up.bring_up(one.cloud, one.public_key, one.report, loosen=True)
        assert timedelta(0) <= deadline(one) - (seen.launched + max_hours) < timedelta(minutes=1)
        planned = preview(one.cloud)
        assert planned.steps == () and planned.stops_at == deadline(one)


def test_a_cut_between_deadline_and_tag_is_made_good_by_the_next_up(
    laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop().up()
    tighter = laptop(limits=Limits(max_hours=HOUR))
    with monkeypatch.context() as cut:
        cut.setattr("gpu_box.aws.deadline.arm", _cut)
        with pytest.raises(_Done):
            tighter.up()
    before = deadline(tighter)
    tighter.up()
    assert deadline(tighter) < before - 10 * HOUR


def _cut(*_: object, **__: object) -> None:
    raise _Done


def test_plan_compares_and_changes_nothing(tight: Laptop, laptop: Callable[..., Laptop]) -> None:
    planned = preview(laptop().cloud)
    assert planned.steps == ()
    assert len(planned.limits_kept) == 3
    assert planned.rules.limits == TIGHT


def test_the_command_keeps_them_without_a_terminal_and_ends_with_0(
    tight: Laptop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gpu_box.box.up.up", _aws_side_only)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"name: {tight.config.name}\nregion: us-east-1\nssh: {{key: {tight.config.ssh.key}, config: false}}\n"
        "network: {allow_ssh_from: [127.0.0.1]}\n"
    )
    before = deadline(tight)
    for words, moved in ((["up"], False), (["up", "--yes"], True)):
        with pytest.raises(_Done):
            main(["--config", str(config), "--debug", *words])
        assert (deadline(tight) > before) is moved, words
        assert "limits.max_hours is 2 h on the box and 12 h in the config" in capsys.readouterr().err


class _Done(Exception):
    pass


def _aws_side_only(cloud: Cloud, report: object, *, loosen: bool | None, **_: object) -> None:
    up.bring_up(cloud, Laptop(cloud.config).public_key, report, loosen=loosen)  # type: ignore[arg-type]
    raise _Done


def running(config: Config) -> Instance:
    return Instance(
        id="i-1",
        state=InstanceState.RUNNING,
        type="g4dn.xlarge",
        zone="us-east-1a",
        launched=datetime(2026, 11, 23, 9, 30, 5, tzinfo=UTC),
        limits=limits.tag(config),
    )


@pytest.mark.parametrize(
    ("on_box", "here", "looser"),
    [
        (Limits(stop_at=time(23)), Limits(), True),
        (Limits(), Limits(stop_at=time(23)), False),
        (Limits(stop_at=time(23)), Limits(stop_at=time(22)), False),
        (Limits(stop_at=time(22)), Limits(stop_at=time(23)), True),
        (Limits(stop_at=time(23)), Limits(stop_at=time(1)), True),  # of the next day
        (Limits(budget=Decimal("19.5")), Limits(budget=Decimal("19.50")), False),
        (Limits(budget=Decimal(20)), Limits(budget=Decimal(21)), True),
        (Limits(), Limits(budget=Decimal(5)), False),
    ],
)
def test_what_is_looser(on_box: Limits, here: Limits, looser: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(limits=here)
    kept, lines = limits.kept(config, running(Config(limits=on_box)))
    assert bool(lines) is looser
    assert kept.limits == (on_box if looser else here)


@pytest.mark.parametrize("tag", ["", "soon", "max_hours=x budget=NaN stop_at=25:99", "max_hours=99999999999"])
def test_a_tag_edited_by_hand_is_read_as_none(tag: str) -> None:
    edited = replace(running(Config()), limits=tag)
    assert limits.kept(Config(), edited) == (Config(), ())


def test_a_box_on_its_way_through_a_resize_keeps_its_limits() -> None:
    stopped = replace(running(Config(limits=TIGHT)), state=InstanceState.STOPPED)
    assert limits.kept(Config(), stopped)[1] == ()
    for on_its_way in (replace(stopped, resizing="g5.xlarge"), replace(stopped, baking=True)):
        assert limits.kept(Config(), on_its_way)[0].limits == TIGHT
