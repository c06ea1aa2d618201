"""The commands of a walk: in what state each begins, what it does to AWS, and the one right end of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gpu_box.aws.act import act
from gpu_box.aws.cluster import make_cluster, remove_cluster
from gpu_box.aws.instance_types import refuse_unfit
from gpu_box.box import converge, enter, image, keep, stop
from gpu_box.box.late_deadline import armed_meanwhile
from gpu_box.box.resize import change_type, note_unfinished, takes_an_image
from gpu_box.box.up import bring_up
from gpu_box.config.model import Disk
from gpu_box.errors import CloudError
from gpu_box.model.observed import BAKED, InstanceState, Observed
from gpu_box.plan import images
from gpu_box.plan.notes import NoteResize

from ..aws.conftest import Laptop
from .faults import FAULTS, Killed, Saboteur

EXTENDED = timedelta(hours=3)
BIGGER, LARGER_GIB = "g4dn.2xlarge", 150


@dataclass(frozen=True)
class Command:
    name: str
    prepare: Callable[[Laptop], object]  # the state in which it begins
    run: Callable[[Laptop], Observed]
    right: Callable[[Observed], bool]  # the one right final state
    settings: Mapping[str, Any] = field(default_factory=dict)  # of its config, beside a name and a region
    enters: bool = False  # the machine by SSH
    twice: Callable[[Observed], bool] | None = None  # the right one where two runs are not as good as one

    @property
    def removes(self) -> Callable[[Laptop], Observed]:
        return down_of_a_cluster if "cluster" in self.settings else Laptop.down


def nothing(laptop: Laptop) -> None:
    pass


def running(laptop: Laptop) -> None:
    laptop.up()


def stopped(laptop: Laptop) -> None:
    """For hours: its deadline is soon, so that the next start has to move it."""
    _move_deadline(laptop, datetime.now(UTC) + timedelta(hours=2))
    laptop.stop()


def _move_deadline(laptop: Laptop, at: datetime) -> None:
    armed = laptop.up().deadline
    assert armed is not None
    keep.postpone(laptop.cloud, armed.at, at.replace(second=0, microsecond=0), laptop.report)


def _half_done(laptop: Laptop) -> None:
    """`up` died right after its instance was launched."""
    dying = Laptop(laptop.config)
    Saboteur(("RunInstances", 1), FAULTS["killed after"]).follow(dying.cloud)
    try:
        dying.up()
    except Killed:
        return
    raise AssertionError("it was to be killed")


def _baked_before(laptop: Laptop) -> None:
    stopped(laptop)
    _bake(laptop)
    laptop.up()


def _only_baked(laptop: Laptop) -> None:
    stopped(laptop)
    _bake(laptop)
    stop.bring_down(laptop.cloud, laptop.report, keep_images=True)


def _with_a_smaller_disk(laptop: Laptop) -> None:
    smaller = Laptop(replace(laptop.config, disk=Disk(size_gib=LARGER_GIB - 50)))
    stopped(smaller)


def up(laptop: Laptop) -> Observed:
    """As `box.up`, but for what happens on the machine."""
    observed = laptop.up()
    with armed_meanwhile(laptop.cloud, observed, laptop.report):
        pass
    return observed


def up_into_the_machine(laptop: Laptop) -> Observed:
    """As `box.up`, up to and with the machine's own host key; what follows makes no call to AWS."""
    with enter.enter(laptop.cloud, laptop.up(), laptop.report):
        pass
    return laptop.observe()


def _up_in_a_cluster(laptop: Laptop) -> Observed:
    make_cluster(laptop.cloud, laptop.report)
    return laptop.up()


def down_of_a_cluster(laptop: Laptop) -> Observed:
    seen = laptop.down()
    remove_cluster(laptop.cloud, laptop.report)
    return seen


def resize(laptop: Laptop) -> Observed:
    """As `resize.resize`, but for what happens on the machine."""
    seen = laptop.observe()
    found = seen.instance
    if found:
        refuse_unfit(laptop.cloud, BIGGER, like=found)
    ran = found is None or found.state.bills or bool(found.resizing) or found.baking
    if takes_an_image(seen, BIGGER):
        if found:
            image.carry(laptop.cloud, laptop.report)
        bigger = laptop.cloud.sharing(replace(laptop.config, instance_types=(BIGGER,)))
        try:
            bring_up(bigger, laptop.public_key, laptop.report)
        except CloudError:
            if ran:
                note_unfinished(laptop.cloud, BIGGER, laptop.report)
            raise
        converge.converge(laptop.cloud, laptop.report, images.moved)
        return laptop.observe() if ran else laptop.stop()
    change_type(laptop.cloud, BIGGER, laptop.report)
    if found and ran:
        laptop.up()
        seen = converge.converge(laptop.cloud, laptop.report, images.moved)[0]
        act(laptop.cloud, [NoteResize(instance_id=found.id, type="")], laptop.report, seen)
    return laptop.observe()


def _bake(laptop: Laptop) -> Observed:
    """As `image.bake`, but for what happens on the machine."""
    found = laptop.observe().instance
    ran = found is not None and (found.state.bills or found.baking)
    made = image.begin(laptop.cloud, BAKED, laptop.report)
    if ran:
        laptop.up()
    return image.end(laptop.cloud, made, laptop.report)


def _move(laptop: Laptop) -> Observed:
    """As `image.move`, but for what happens on the machine."""
    found = laptop.observe()
    if found.instance and not found.instance.moved_from:
        image.carry(laptop.cloud, laptop.report)
    laptop.up()
    return converge.converge(laptop.cloud, laptop.report, images.moved)[0]


def _extend(laptop: Laptop) -> Observed:
    """As `stopping.extend`, but for what happens on the machine."""
    seen = laptop.observe()
    base, at = keep.extension(laptop.cloud, seen, EXTENDED, now=datetime.now(UTC))
    moved = keep.postpone(laptop.cloud, base, at, laptop.report)
    if moved.deadline is None or moved.deadline.at != at:
        raise CloudError("not moved in AWS")  # as shown to the user: `in_aws` is False
    keep.note_postponed(laptop.cloud, moved, laptop.report)
    return moved


def is_up(seen: Observed) -> bool:
    instance, deadline = seen.instance, seen.deadline
    armed = deadline and instance and deadline.instance_id == instance.id and deadline.at > datetime.now(UTC)
    runs = instance is not None and instance.state is InstanceState.RUNNING
    return bool(runs and armed and seen.group and seen.group.ssh_from and seen.key_pair)


def _is_up_anew(seen: Observed) -> bool:
    """With all of its hours, and not with what the session before had left."""
    late = datetime.now(UTC) + timedelta(hours=10)
    return is_up(seen) and seen.deadline is not None and seen.deadline.at > late


def _is_entered(seen: Observed) -> bool:
    key = seen.instance.host_key if seen.instance else None
    return is_up(seen) and key is not None and not key.startswith("pending")


def _is_spot(seen: Observed) -> bool:
    return (
        is_up(seen)
        and len(seen.spot_requests) == 1
        and seen.instance is not None
        and (seen.instance.market == "spot")
    )


def is_stopped(seen: Observed) -> bool:
    return seen.instance is not None and seen.instance.state is InstanceState.STOPPED


def _has_grown(seen: Observed) -> bool:
    return is_up(seen) and [volume.size_gib for volume in seen.volumes] == [LARGER_GIB]


def _is_bigger(seen: Observed) -> bool:
    return seen.instance is not None and seen.instance.type == BIGGER


def _is_resized(seen: Observed) -> bool:
    return is_up(seen) and _is_bigger(seen) and seen.instance is not None and not seen.instance.resizing


def _is_baked(seen: Observed) -> bool:
    return len(seen.images) == 1 and seen.images[0].state == "available" and len(seen.snapshots) == 1


def _has_moved(seen: Observed) -> bool:
    return is_up(seen) and not seen.images and not seen.snapshots and len(seen.volumes) == 1


def _is_extended(seen: Observed, times: int = 1) -> bool:
    if seen.deadline is None or seen.instance is None or seen.instance.extending:
        return False
    wanted = seen.instance.launched + timedelta(hours=12) + EXTENDED * times
    return is_up(seen) and abs(seen.deadline.at - wanted) < timedelta(minutes=5)


_SPOT = {"market": "spot"}
_CLUSTER = {"cluster": "walked"}
COMMANDS = {
    command.name: command
    for command in (
        Command("up from nothing", nothing, up, _is_up_anew),
        Command("up from stopped", stopped, up, _is_up_anew),
        Command("up from half done", _half_done, up, _is_up_anew),
        Command("up into the machine", running, up_into_the_machine, _is_entered, enters=True),
        Command(
            "up with a larger disk", _with_a_smaller_disk, up, _has_grown, {"disk": Disk(size_gib=LARGER_GIB)}
        ),
        Command("up of spot", nothing, up, _is_spot, _SPOT),
        Command("up of spot from stopped", stopped, up, _is_spot, _SPOT),
        Command("up in a cluster", nothing, _up_in_a_cluster, _is_up_anew, _CLUSTER),
        Command("up from baked", _only_baked, up, lambda o: is_up(o) and _is_baked(o)),
        Command("stop", running, Laptop.stop, is_stopped),
        Command("stop of spot", running, Laptop.stop, is_stopped, _SPOT),
        Command("resize", running, resize, _is_resized),
        Command("resize of stopped", stopped, resize, lambda o: is_stopped(o) and _is_bigger(o)),
        Command("resize of spot", running, resize, lambda o: _is_resized(o) and _is_spot(o), _SPOT),
        Command("extend", running, _extend, _is_extended, twice=lambda o: _is_extended(o, 2)),
        Command("bake", running, _bake, lambda o: _is_baked(o) and is_up(o)),
        Command("bake of stopped", stopped, _bake, lambda o: _is_baked(o) and is_stopped(o)),
        Command("bake over an older one", _baked_before, _bake, lambda o: _is_baked(o) and is_up(o)),
        Command("move", stopped, _move, _has_moved),
        Command("down", running, Laptop.down, lambda o: o.nothing_left),
        Command("down of stopped", stopped, Laptop.down, lambda o: o.nothing_left),
        Command("down of spot", running, Laptop.down, lambda o: o.nothing_left, _SPOT),
        Command("down with an image", _baked_before, Laptop.down, lambda o: o.nothing_left),
        Command("down of a cluster", _up_in_a_cluster, down_of_a_cluster, lambda o: o.nothing_left, _CLUSTER),
    )
}
