"""Observed -> steps, as tables. `plan` is pure, so a test is a value."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_box.config.model import Config, Disk, Limits, Network
from gpu_box.errors import CloudError, InputError, PermissionDenied
from gpu_box.model.facts import Facts
from gpu_box.model.observed import (
    Deadline,
    Instance,
    InstanceState,
    KeyPair,
    Launch,
    Launchable,
    Observed,
    Placement,
    SecurityGroup,
    Volume,
)
from gpu_box.model.public_key import fingerprint
from gpu_box.model.spending import Rates
from gpu_box.model.stop_reason import stopped_at
from gpu_box.plan import box as plan
from gpu_box.plan import limits
from gpu_box.plan.deadline import deadline_at, extend, extension
from gpu_box.plan.notes import CountSession, NoteExtend, NoteLimits
from gpu_box.plan.steps import (
    ArmDeadline,
    CreateSecurityGroup,
    StartInstance,
    Step,
    WaitForInstance,
)
from gpu_box.plan.up import plan_up

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
HOME, CAFE = ip_network("203.0.113.7/32"), ip_network("2001:db8::7/128")
KEY = "ssh-ed25519 AAAAC3NzaC1l me@laptop"
ROLE = "arn:aws:iam::123456789012:role/gpu-box-deadline-us-east-1"
LAUNCH = Launch(generation="g1", public_key=KEY, user_data="#cloud-config\n")
LAUNCHABLE = Launchable(
    image_id="ami-1",
    image_name="Deep Learning Base",
    root_device="/dev/sda1",
    min_disk_gib=35,
    vpc_id="vpc-1",
    placements=(Placement(type="g4dn.xlarge", zone="us-east-1a", subnet_id="subnet-a"),),
)


def instance(state: InstanceState = InstanceState.RUNNING, **more: object) -> Instance:
    known = {
        "id": "i-1",
        "type": "g4dn.xlarge",
        "zone": "us-east-1a",
        "launched": NOW - timedelta(hours=1),
        "address": "198.51.100.1" if state is InstanceState.RUNNING else None,
        "host_key": "ssh-ed25519 BBBB",
    }
    return Instance(state=state, **{**known, **more})  # type: ignore[arg-type]


def world(*instances: Instance, **more: object) -> Observed:
    """A complete box with the given instances; `more` overrides."""
    known = {
        "region": "us-east-1",
        "group": SecurityGroup(id="sg-1", generation="g1", ssh_from=frozenset({HOME})),
        "key_pair": KeyPair(id="key-1", name="gpu-box-gpu-box", public_key="ssh-ed25519 AAAAC3NzaC1l"),
        "deadline": Deadline(instance_id="i-1", at=NOW + timedelta(hours=11), role_arn=ROLE),
        "deadline_role_arn": ROLE,
        "caller": (HOME,),
    }
    return Observed(instances=instances, **{**known, **more})  # type: ignore[arg-type]


NOTHING = Observed(region="us-east-1", caller=(HOME,))


RATES = Rates(hour=Decimal("0.50"), disk_month=Decimal("7.30"))


def facts(observed: Observed, now: datetime = NOW, rates: Rates | None = RATES) -> Facts:
    return Facts(
        observed=observed, now=now, public_key=KEY, launch=LAUNCH, launchable=LAUNCHABLE, rates=rates
    )


def up(observed: Observed, config: Config | None = None, now: datetime = NOW) -> list[Step]:
    """Without the note of the limits, which has its own test."""
    steps = plan_up(config or Config(), facts(observed, now))
    return [step for step in steps if not isinstance(step, NoteLimits)]


def names(steps: list[Step]) -> list[str]:
    """In the order of execution; steps of one stage in the planned order."""
    return [type(s).__name__ for s in sorted(steps, key=lambda s: s.stage)]


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(
            NOTHING,
            ["ImportKeyPair", "CreateSecurityGroup", "CreateDeadlineRole", "RunInstance"],
            id="nothing",
        ),
        pytest.param(
            world(deadline=None), ["RunInstance"], id="everything but the instance, as after a crash"
        ),
        pytest.param(world(instance()), [], id="a finished box: nothing to do"),
        pytest.param(
            world(instance(InstanceState.STOPPED)),
            ["ArmDeadline", "CountSession", "StartInstance", "WaitForInstance"],
            id="stopped: the deadline is armed, and the last session noted, before the meter starts",
        ),
        pytest.param(
            world(instance(InstanceState.STOPPED, spent_until=NOW - timedelta(hours=1))),
            ["ArmDeadline", "StartInstance", "WaitForInstance"],
            id="stopped, its last session noted already",
        ),
        pytest.param(
            world(instance(InstanceState.STOPPING)), ["WaitForInstance"], id="stopping cannot be started yet"
        ),
        pytest.param(
            world(instance(InstanceState.PENDING, id="i-2")),
            ["ArmDeadline", "WaitForInstance"],
            id="just launched: the deadline still points at an older instance",
        ),
        pytest.param(
            world(instance(address=None)), ["WaitForInstance"], id="running but without an address yet"
        ),
        pytest.param(world(instance(), caller=(CAFE,)), ["AllowSsh"], id="the laptop moved"),
        pytest.param(world(instance(), deadline=None), ["ArmDeadline"], id="the deadline was removed"),
        pytest.param(
            world(instance(), deadline=None, deadline_role_arn=None, deadline_unavailable="not permitted"),
            [],
            id="no permission for a deadline: said loudly elsewhere, and the rest goes on",
        ),
        pytest.param(
            world(instance(), instance(id="i-2", host_key=None)),
            ["Terminate"],
            id="two laptops launched at once: the unused one goes",
        ),
    ],
)
def test_up(observed: Observed, expected: list[str]) -> None:
    assert names(up(observed)) == expected


@pytest.mark.parametrize("observed", [world(), world(instance(InstanceState.STOPPED))])
def test_no_box_starts_that_aws_cannot_stop_unless_its_user_agreed(observed: Observed) -> None:
    denied = replace(observed, deadline=None, deadline_role_arn=None, deadline_unavailable="not permitted")
    with pytest.raises(
        PermissionDenied, match=r"\(not permitted\): nothing was started.*policy --role"
    ) as refused:
        up(denied)
    assert "--without-deadline" in str(refused.value.remedy)
    assert {"RunInstance", "StartInstance"} & set(names(up(denied, Config(without_deadline=True))))


def test_up_on_a_key_pair_of_a_lost_key_replaces_it_only_where_no_instance_uses_it() -> None:
    other = KeyPair(id="key-1", name="k", public_key="ssh-ed25519 CCCC")
    assert "ReplaceKeyPair" in names(up(world(key_pair=other)))
    with pytest.raises(InputError, match="a different SSH key"):
        up(world(instance(key=fingerprint(other.public_key)), key_pair=other))


def test_up_leaves_the_choice_between_two_used_instances_to_a_person() -> None:
    with pytest.raises(CloudError, match="i-1, i-2"):
        up(world(instance(), instance(id="i-2")))


def test_the_laptop_s_old_address_is_closed_when_the_new_one_is_opened() -> None:
    [step] = up(world(instance(), caller=(CAFE,)))
    assert (step.allow, step.revoke) == ((CAFE,), (HOME,))  # type: ignore[attr-defined]


def test_addresses_given_in_the_config_win_over_the_one_that_was_found() -> None:
    config = Config(network=Network(allow_ssh_from=(CAFE,)))
    steps = up(NOTHING, config)
    assert [s.ssh_from for s in steps if isinstance(s, CreateSecurityGroup)] == [(CAFE,)]


def test_a_disk_smaller_than_the_image_is_refused_before_anything_is_made() -> None:
    with pytest.raises(InputError, match="35 GiB"):
        up(NOTHING, Config(disk=Disk(size_gib=20)))


def test_a_deadline_that_was_extended_is_not_cut_short() -> None:
    far = Deadline(instance_id="i-1", at=NOW + timedelta(hours=40), role_arn=ROLE)
    assert up(world(instance(), deadline=far)) == []


@pytest.mark.parametrize("state", InstanceState)
def test_stop_ends_with_a_wait_for_stopped_unless_it_is(state: InstanceState) -> None:
    steps = plan.stop(world(instance(state)))
    waits = [s.state for s in steps if isinstance(s, WaitForInstance)]
    done = state in (InstanceState.STOPPED, InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)
    assert waits == ([] if done else [InstanceState.STOPPED])


def test_down_removes_what_stops_the_instance_only_after_the_instance() -> None:
    free = Volume(id="vol-9", size_gib=10, attached_to=None)
    used = Volume(id="vol-1", size_gib=100, attached_to="i-1")
    assert names(plan.down(world(instance(), volumes=(free, used)))) == [
        "Terminate",
        "WaitForInstance",
        "DeleteDeadline",
        "DeleteDeadlineRole",
        "DeleteKeyPair",
        "DeleteVolume",
        "DeleteSecurityGroup",
    ]


def test_down_on_nothing_is_nothing() -> None:
    assert plan.down(NOTHING) == []
    assert NOTHING.nothing_left


@given(
    start=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),
    hours=st.integers(1, 48),
    stop_at=st.none() | st.times().map(lambda t: t.replace(second=0, microsecond=0)),
)
def test_the_deadline_is_after_the_start_and_never_later_than_max_hours(
    start: datetime, hours: int, stop_at: time | None
) -> None:
    start = start.replace(tzinfo=UTC)
    config = Config(limits=Limits(max_hours=timedelta(hours=hours), stop_at=stop_at))
    at = deadline_at(config, start)
    assert start < at <= start + timedelta(hours=hours, minutes=1)
    assert (at.second, at.microsecond) == (0, 0)


@pytest.mark.parametrize(
    ("started", "at"),
    [
        # 2026-10-25: clocks in Berlin go back at 01:00 UTC. 23:00 there is 22:00 UTC after, 21:00 before.
        (datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 24, 21, tzinfo=UTC)),
        (datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 22, tzinfo=UTC)),
        (datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 21, tzinfo=UTC)),
    ],
)
def test_stop_at_is_what_the_clock_on_the_wall_says(
    started: datetime, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from time import tzset

    monkeypatch.setenv("TZ", "Europe/Berlin")
    tzset()
    try:
        config = Config(limits=Limits(max_hours=timedelta(hours=48), stop_at=time(23, 0)))
        assert deadline_at(config, started) == at
    finally:
        monkeypatch.undo()
        tzset()


def test_every_step_reads_as_a_line_of_a_plan() -> None:
    for step in [*up(NOTHING), *plan.down(world(instance())), *up(replace(world(), caller=(CAFE,)))]:
        assert str(step) and "\n" not in str(step)


def budget(usd: str) -> Config:
    return Config(limits=Limits(budget=Decimal(usd)))


def armed(steps: list[Step]) -> datetime | None:
    return next((step.at for step in steps if isinstance(step, ArmDeadline)), None)


def test_the_deadline_is_never_past_the_end_of_the_budget() -> None:
    # November has 183 h left, for which the disk costs $1.83; the hour of running cost $0.50.
    stopped = world(instance(InstanceState.STOPPED, transition="User initiated (2026-11-23 09:00:00 GMT)"))
    assert armed(up(stopped, budget("4.33"))) == NOW + timedelta(hours=4)
    assert armed(up(stopped, budget("400"))) == NOW + timedelta(hours=12)


def test_earlier_sessions_of_the_month_count_and_last_month_s_do_not() -> None:
    earlier = ((date(2026, 11, 2), Decimal("1")), (date(2026, 10, 31), Decimal("100")))
    one = instance(InstanceState.STOPPED, spent=earlier, spent_until=NOW - timedelta(hours=1))
    assert armed(up(world(one), budget("4.83"))) == NOW + timedelta(hours=4)


def test_a_budget_that_was_lowered_brings_the_deadline_of_a_running_box_forward() -> None:
    steps = up(world(instance()), budget("3.33"))
    assert armed(steps) == NOW + timedelta(hours=2)
    assert up(world(instance()), budget("50")) == []


def test_a_budget_that_is_spent_starts_nothing() -> None:
    with pytest.raises(InputError) as refused:
        up(world(instance(InstanceState.STOPPED)), budget("2"))
    assert refused.value.where == "limits.budget"
    with pytest.raises(InputError):
        up(NOTHING, budget("1.50"))  # less than the disk until the month's end


def test_a_budget_without_a_known_price_is_refused_and_not_ignored() -> None:
    with pytest.raises(InputError, match="price"):
        plan_up(budget("50"), facts(world(instance()), rates=None))


def test_the_last_session_is_noted_with_the_end_that_ec2_tells() -> None:
    stopped = instance(InstanceState.STOPPED, transition="User initiated (2026-11-23 08:30:00 GMT)")
    steps = up(world(stopped))
    [count] = [step for step in steps if isinstance(step, CountSession)]
    assert count.launched == NOW - timedelta(hours=1)
    assert stopped_at(count.transition) == NOW - timedelta(minutes=30)
    assert count.usd_hour == Decimal("0.50")
    assert count.stage < StartInstance.stage


def test_extend_moves_the_deadline_once() -> None:
    base, at = NOW + timedelta(hours=11), NOW + timedelta(hours=13)
    [noted] = extend(world(instance()), base=base, at=at)
    assert isinstance(noted, NoteExtend) and noted.moving == (base, at)
    on_its_way = instance(extending=(base, at))
    [step] = extend(world(on_its_way), base=base, at=at)
    assert isinstance(step, ArmDeadline)
    assert (step.at, step.exists) == (at, True)
    of_another = Deadline(instance_id="i-0", at=at, role_arn=ROLE)
    [step] = extend(world(on_its_way, deadline=of_another), base=base, at=at)
    assert not step.exists, "of an instance that is gone: who knows what its role may do"  # type: ignore[attr-defined]
    moved = Deadline(instance_id="i-1", at=at, role_arn=ROLE)
    assert extend(world(on_its_way, deadline=moved), base=base, at=at) == []


def test_an_extend_that_was_cut_adds_nothing_when_it_is_run_again() -> None:
    base, at = NOW + timedelta(hours=11), NOW + timedelta(hours=13)
    span = at - base

    def extended(
        armed: datetime,
        extending: tuple[datetime, datetime] | None,
        asked: tuple[datetime, datetime] | None = None,
    ) -> tuple[datetime, datetime]:
        box = instance(extending=extending)
        deadline = Deadline(instance_id="i-1", at=armed, role_arn=ROLE)
        return extension(world(box, deadline=deadline), box, span, now=NOW, asked=asked)

    assert extended(base, None) == (base, at)
    assert extended(base, (base, at)) == (base, at), "cut before it was moved"
    assert extended(at, (base, at)) == (base, at), "cut after it was moved"
    assert extended(at, None, (base, at)) == (base, at), "cut when AWS knew that it was done"
    assert extended(at, None) == (at, at + span), "another one"
    later = at + timedelta(hours=5)
    assert extended(later, (base, at)) == (later, later + span), "of another session"
    assert extended(at, (base, at + span)) == (at, at + span), "by another time"


def test_a_deadline_that_was_extended_is_left_alone_by_up() -> None:
    moved = Deadline(instance_id="i-1", at=NOW + timedelta(hours=40), role_arn=ROLE)
    assert up(world(instance(), deadline=moved)) == []


STARTED = NOW - timedelta(hours=1)


def noted(**settings: object) -> Instance:
    """A running box whose tag holds these limits."""
    return instance(limits=limits.tag(Config(limits=Limits(**settings))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "ends"),
    [
        ({}, {"max_hours": timedelta(hours=3)}, timedelta(hours=3)),
        ({}, {"max_hours": timedelta(hours=11, minutes=57)}, timedelta(hours=11, minutes=57)),
        ({"max_hours": timedelta(hours=24)}, {}, timedelta(hours=12)),
        ({}, {"max_hours": timedelta(hours=24)}, timedelta(hours=24)),
        (
            {"max_hours": timedelta(hours=2)},
            {"max_hours": timedelta(hours=2, minutes=3)},
            timedelta(hours=2.05),
        ),
        ({}, {"stop_at": (NOW + timedelta(hours=4)).astimezone().time()}, timedelta(hours=5)),
        ({"stop_at": (NOW + timedelta(hours=4)).astimezone().time()}, {}, timedelta(hours=12)),
    ],
)
def test_up_moves_the_deadline_of_a_running_box_when_the_limits_in_the_config_change(
    before: dict[str, object], after: dict[str, object], ends: timedelta
) -> None:
    old = deadline_at(Config(limits=Limits(**before)), STARTED)  # type: ignore[arg-type]
    new = Config(limits=Limits(**after))  # type: ignore[arg-type]
    for at in (old, NOW + timedelta(hours=40)):  # also one that was extended before
        found = world(noted(**before), deadline=Deadline(instance_id="i-1", at=at, role_arn=ROLE))
        assert armed(up(found, new)) == STARTED + ends
    moved = Deadline(instance_id="i-1", at=STARTED + ends, role_arn=ROLE)
    assert up(world(noted(**before), deadline=moved), new) == [], "moved once"


def test_an_extended_deadline_stays_while_the_limits_are_the_same() -> None:
    far = Deadline(instance_id="i-1", at=NOW + timedelta(hours=40), role_arn=ROLE)
    same = Config(limits=Limits(max_hours=timedelta(hours=12)))
    assert up(world(noted(), deadline=far), same) == []


@pytest.mark.parametrize("unavailable", ["", "not permitted"])
@pytest.mark.parametrize("minutes", [10, 61])
def test_limits_by_which_a_running_box_should_have_stopped_already_are_refused(
    minutes: int, unavailable: str
) -> None:
    """EventBridge Scheduler accepts no time in the past."""
    found = world(noted(), deadline_unavailable=unavailable)
    with pytest.raises(InputError, match="nothing was changed") as refused:
        up(found, Config(limits=Limits(max_hours=timedelta(minutes=minutes))))
    assert refused.value.where == "limits" and "gpu-box stop" in str(refused.value.remedy)


def test_limits_are_noted_before_the_deadline_moves_later_and_after_it_has_moved_sooner() -> None:
    """The next `up` completes one that was interrupted between the two steps."""
    running = world(noted(max_hours=timedelta(hours=12)))
    later = plan_up(Config(limits=Limits(max_hours=timedelta(hours=24))), facts(running))
    assert names(later) == ["NoteLimits", "ArmDeadline"]
    sooner = Config(limits=Limits(max_hours=timedelta(hours=3)))
    assert names(plan_up(sooner, facts(running))) == ["ArmDeadline"]
    moved = replace(running, deadline=Deadline(instance_id="i-1", at=NOW + timedelta(hours=2), role_arn=ROLE))
    assert names(plan_up(sooner, facts(moved))) == ["NoteLimits"]


def test_down_leaves_the_role_that_another_box_of_the_region_needs() -> None:
    alone = [str(step) for step in plan.down(world(instance()))]
    assert "deadline role: removed" in alone
    shared = world(instance(), others_exist=True)
    assert "deadline role: removed" not in [str(step) for step in plan.down(shared)]
    assert world(others_exist=True, group=None, key_pair=None, deadline=None, volumes=()).nothing_left


def test_a_deadline_that_was_given_another_role_is_armed_anew() -> None:
    at = NOW + timedelta(hours=11)
    changed = Deadline(instance_id="i-1", at=at, role_arn="arn:aws:iam::123456789012:role/theirs")
    [step] = [s for s in up(world(instance(), deadline=changed)) if isinstance(s, ArmDeadline)]
    assert not step.exists
