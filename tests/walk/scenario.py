"""A command, struck at one of its AWS calls, then run again: what must hold in between and afterwards."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gpu_box import bake, box, image_plan, plan
from gpu_box.errors import GpuBoxError
from gpu_box.model import BAKED, InstanceState, Observed
from gpu_box.resize import change_type

from ..aws.conftest import Laptop
from .faults import FAULTS, Killed, Place, Saboteur

EXTENDED = timedelta(hours=3)
BIGGER = "g4dn.2xlarge"


@dataclass(frozen=True)
class Command:
    name: str
    prepare: Callable[[Laptop], None]  # the state in which it begins
    run: Callable[[Laptop], Observed]
    reached: Callable[[Observed], bool]  # the one right final state


@dataclass
class Account:
    """What breaks the promises, seen at any moment of a scenario."""

    laptop: Laptop  # of its own, never struck
    defects: list[str] = field(default_factory=list)
    denied: bool = False  # the deadline may not be armed: the layers on the box hold alone

    def before_send(self, operation: str) -> None:
        if operation == "StartInstances" and not self.denied:
            deadline = self.laptop.observe().deadline
            if deadline is None or deadline.at < datetime.now(UTC):
                self.defects.append("unguarded: StartInstances before a deadline was armed")

    def look(self, when: str) -> Observed:
        seen = self.laptop.observe()
        if len(seen.live) > 1:
            self.defects.append(f"double: {len(seen.live)} instances {when}")
        for instance in seen.live:
            if instance.state.bills and not self._burns(instance.id):
                self.defects.append(f"unguarded: {instance.id} runs without a fuse {when}")
        for what, count in self._count().items():
            # A new image is whole before the one that it replaces goes.
            if count > (2 if what in ("images", "snapshots") else 1):
                self.defects.append(f"double: {count} {what} {when}")
        return seen

    def deadline_works(self, seen: Observed) -> None:
        """A deadline whose role may not stop anything is none."""
        if seen.deadline and seen.live:
            role = seen.deadline.role_arn.rpartition("/")[2]
            if not self.laptop.cloud.client("iam").list_role_policies(RoleName=role)["PolicyNames"]:
                self.defects.append("unguarded: the deadline's role may do nothing")

    def none_left(self) -> None:
        left = self.look("after down")
        counts = {what: count for what, count in self._count().items() if count}
        if not left.nothing_left or counts:
            self.defects.append(f"leak after down: {counts} {_shown(left)}")

    def _burns(self, instance_id: str) -> bool:
        """Whether its user data lights the fuse, and a shutdown stops the meter and keeps the disk."""
        ec2 = self.laptop.cloud.ec2

        def attribute(name: str) -> str:
            raw = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute=name)
            return str(raw[name[0].upper() + name[1:]].get("Value", ""))

        data = base64.b64decode(attribute("userData")).decode()
        return "gpu-box-fuse.timer" in data and attribute("instanceInitiatedShutdownBehavior") == "stop"

    def _count(self) -> dict[str, int]:
        cloud, name = self.laptop.cloud, self.laptop.config.name
        mine = [{"Name": "tag:gpu-box:name", "Values": [name]}]
        schedules = cloud.client("scheduler").list_schedules()["Schedules"]
        roles = cloud.client("iam").list_roles()["Roles"]
        return {
            "security groups": len(cloud.ec2.describe_security_groups(Filters=mine)["SecurityGroups"]),
            "key pairs": len(cloud.ec2.describe_key_pairs(Filters=mine)["KeyPairs"]),
            "schedules": sum(name in schedule["Name"] for schedule in schedules),
            "roles": sum(name in role["RoleName"] for role in roles),
            "spot requests": sum(
                request["State"] in ("open", "active", "disabled")
                for request in cloud.ec2.describe_spot_instance_requests(Filters=mine)["SpotInstanceRequests"]
            ),
            "images": len(cloud.ec2.describe_images(Owners=["self"], Filters=mine)["Images"]),
            "snapshots": len(cloud.ec2.describe_snapshots(OwnerIds=["self"], Filters=mine)["Snapshots"]),
            "volumes": len(cloud.ec2.describe_volumes(Filters=mine)["Volumes"]),
        }


def run(make: Callable[[], Laptop], command: Command, at: Place, fault: str) -> list[str]:
    """The defects of one scenario; none is what is wanted. make: laptops of one config."""
    account = Account(make())
    command.prepare(make())
    struck = make()
    saboteur = Saboteur(at, FAULTS[fault], before_send=account.before_send)
    saboteur.follow(struck.cloud)
    account.denied = fault == "access denied"
    try:
        command.run(struck)
    except (GpuBoxError, Killed):
        pass
    except Exception as error:
        account.defects.append(f"no clear line: {type(error).__name__}: {error}")
    if not saboteur.struck:
        # Which calls run side by side differs from run to run; what was not reached was not tested.
        return ["not reached"]
    return mend(make, command, account)


def mend(make: Callable[[], Laptop], command: Command, account: Account) -> list[str]:
    """The same command again, undisturbed, then `down`: the defects, with those that were seen before."""
    account.look("after the fault")
    account.denied = False
    again = make()
    watcher = Saboteur(before_send=account.before_send)
    watcher.follow(again.cloud)
    try:
        command.run(again)
    except GpuBoxError as error:
        account.defects.append(f"the second run is refused: {error}")
    seen = account.look("after the second run")
    if not command.reached(seen):
        account.defects.append(f"not reached: {_shown(seen)}")
    account.deadline_works(seen)
    make().down()
    account.none_left()
    return account.defects


def calls_of(make: Callable[[], Laptop], command: Command) -> list[Place]:
    """The AWS calls of an undisturbed run, in order."""
    command.prepare(make())
    one, saboteur = make(), Saboteur()
    saboteur.follow(one.cloud)
    command.run(one)
    make().down()
    return saboteur.calls


def _shown(seen: Observed) -> str:
    states = [f"{i.id} {i.state}" for i in seen.live]
    return json.dumps({"instances": states, "deadline": str(seen.deadline), "group": str(seen.group)})


def _up(laptop: Laptop) -> Observed:
    return laptop.up()


def _extend(laptop: Laptop) -> Observed:
    """To a moment, and not by a span: a second run must not extend twice."""
    at = (datetime.now(UTC) + EXTENDED + timedelta(hours=12)).replace(second=0, microsecond=0)
    return box.converge(laptop.cloud, laptop.report, lambda seen: plan.extend(seen, at=at))[0]


def _resize(laptop: Laptop) -> Observed:
    change_type(laptop.cloud, BIGGER, laptop.report)
    return laptop.up()


def _bake(laptop: Laptop) -> Observed:
    """As `bake.bake`, but for what happens on the machine."""
    found = laptop.observe().instance
    ran = found is not None and (found.state.bills or found.baking)
    image = bake.begin(laptop.cloud, BAKED, laptop.report)
    if ran:
        laptop.up()
    bake.end(laptop.cloud, image, laptop.report)
    return laptop.observe()


def _move(laptop: Laptop) -> Observed:
    found = laptop.observe()
    if found.instance and not found.instance.moved_from:
        bake.carry(laptop.cloud, laptop.report)
    laptop.up()
    return box.converge(laptop.cloud, laptop.report, image_plan.moved)[0]


def _is_baked(seen: Observed) -> bool:
    return len(seen.images) == 1 and seen.images[0].state == "available" and len(seen.snapshots) == 1


def _has_moved(seen: Observed) -> bool:
    return is_up(seen) and not seen.images and not seen.snapshots and len(seen.volumes) == 1


def _is_resized(seen: Observed) -> bool:
    return is_up(seen) and seen.instance is not None and seen.instance.type == BIGGER


def is_up(seen: Observed) -> bool:
    instance, deadline = seen.instance, seen.deadline
    armed = deadline and instance and deadline.instance_id == instance.id and deadline.at > datetime.now(UTC)
    running = instance is not None and instance.state is InstanceState.RUNNING
    return bool(running and armed and seen.group and seen.group.ssh_from and seen.key_pair)


def _is_stopped(seen: Observed) -> bool:
    return seen.instance is not None and seen.instance.state is InstanceState.STOPPED


def _is_extended(seen: Observed) -> bool:
    late = datetime.now(UTC) + timedelta(hours=14)
    return is_up(seen) and seen.deadline is not None and seen.deadline.at > late


def nothing(laptop: Laptop) -> None:
    pass


def running(laptop: Laptop) -> None:
    laptop.up()


def stopped(laptop: Laptop) -> None:
    laptop.up()
    laptop.stop()


def _baked_before(laptop: Laptop) -> None:
    stopped(laptop)
    _bake(laptop)
    laptop.up()


def _only_baked(laptop: Laptop) -> None:
    stopped(laptop)
    _bake(laptop)
    box.converge(laptop.cloud, laptop.report, lambda seen: plan.down(seen, keep_images=True))


def _half_done(laptop: Laptop) -> None:
    """`up` died right after its instance was launched."""
    Saboteur(("RunInstances", 1), FAULTS["killed after"]).follow(laptop.cloud)
    try:
        laptop.up()
    except Killed:
        return
    raise AssertionError("it was to be killed")


COMMANDS = {
    command.name: command
    for command in (
        Command("up from nothing", nothing, _up, is_up),
        Command("up from stopped", stopped, _up, is_up),
        Command("up from half done", _half_done, _up, is_up),
        Command("stop", running, lambda laptop: laptop.stop(), _is_stopped),
        Command("resize", running, _resize, _is_resized),
        Command("bake from running", running, _bake, lambda o: _is_baked(o) and is_up(o)),
        Command("bake from stopped", stopped, _bake, lambda o: _is_baked(o) and _is_stopped(o)),
        Command("bake over an older one", _baked_before, _bake, lambda o: _is_baked(o) and is_up(o)),
        Command("up from baked", _only_baked, _up, lambda o: is_up(o) and _is_baked(o)),
        Command("move", stopped, _move, _has_moved),
        Command("extend", running, _extend, _is_extended),
        Command("down from running", running, lambda laptop: laptop.down(), lambda o: o.nothing_left),
        Command("down from baked", _baked_before, lambda laptop: laptop.down(), lambda o: o.nothing_left),
        Command("down from stopped", stopped, lambda laptop: laptop.down(), lambda o: o.nothing_left),
    )
}
