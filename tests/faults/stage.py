"""A scenario: a command struck at one of its AWS calls, run again, and `down`; and what must hold throughout.

A stage is one embedded cloud, and a laptop's folders. What a command begins with is made once, and put back
for each of its scenarios.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from testbed.cloud import QUICK
from testbed.inside import Inside

from gpu_box.config.model import Aws, Config, Network, Ssh
from gpu_box.errors import GpuBoxError
from gpu_box.model.observed import Observed
from local_aws.faults import weather

from ..aws.conftest import Laptop
from . import quick
from .apart import impatient, process
from .commands import COMMANDS, Command
from .faults import FAULTS, Called, Place, Saboteur
from .watch import Seconds, Watch, there

_ENDS_WITHIN_S = 300.0
COST = "CostCenter"
_UNTAGGED = {"Null": {f"aws:RequestTag/{COST}": "true"}}
# As companies have it (aws-controllers-k8s/community#2954): nothing is made without the tag, in the call that
# makes it. What a call uses is not made by it.
UNTAGGED_DENIED = [
    {
        "Effect": "Deny",
        "Action": action,
        "Resource": [f"arn:aws:{kind}" for kind in kinds],
        "Condition": _UNTAGGED,
    }
    for action, kinds in {
        "ec2:RunInstances": ("ec2:*:*:instance/*", "ec2:*:*:volume/*", "ec2:*:*:network-interface/*"),
        "ec2:CreateSecurityGroup": ("ec2:*:*:security-group/*",),
        "ec2:AuthorizeSecurityGroupIngress": ("ec2:*:*:security-group-rule/*",),
        "ec2:ImportKeyPair": ("ec2:*:*:key-pair/*",),
        "ec2:CreatePlacementGroup": ("ec2:*:*:placement-group/*",),
        "ec2:CreateImage": ("ec2:*::image/*", "ec2:*::snapshot/*"),
        "iam:CreateRole": ("iam::*:role/*",),
    }.items()
]


@dataclass(frozen=True)
class Outcome:
    """The result of one scenario; ideally without defects."""

    defects: tuple[str, ...]
    seconds: Seconds
    reached: bool = True  # which calls run side by side, and how often is polled, differs from run to run


@dataclass(frozen=True)
class _Prepared:
    cloud: bytes
    config: Config


class Stage:
    def __init__(self, folder: Path) -> None:
        quick.warm()
        self.folder, self._now, self.watch = folder, folder / "now", Watch()
        self.inside = Inside(folder / "cloud", self.watch.look)
        delays = {**QUICK, "pending": 0.03, "stopping": 0.03, "shutting-down": 0.03}
        weather().change({"timing": "quick", "delays": delays, "organisation": UNTAGGED_DENIED})
        self._empty = self.inside.snapshot()
        self._prepared: dict[str, _Prepared] = {}
        self.timing: dict[str, Any] = {}  # the weather's, while a command is struck and run again
        self.waits: Callable[[], AbstractContextManager[None]] = impatient
        self._lent: dict[str, Any] = {}  # of the laptops that nothing strikes

    def close(self) -> None:
        self.inside.close()

    def exports(self, home: Path) -> dict[str, str]:
        """home: of a laptop; where it remembers prices, and money spent."""
        folders = {name: str(home / name.lower()) for name in ("HOME", "XDG_CACHE_HOME", "GPU_BOX_HOME")}
        return {**self.inside.exports, **folders}

    def empty(self, *, machines: bool) -> Config:
        """Nothing is there, and a laptop that knows nothing is to make a box of that config."""
        self.inside.machines = machines
        self.inside.restore(self._empty)
        shutil.rmtree(self._now, ignore_errors=True)
        self._new_laptop(self._now)
        os.environ.update(self.exports(self._now))
        return self.new_config()

    def _new_laptop(self, home: Path) -> None:
        """It knows nothing but what gpu-box works out of the SDK's own files, once for all laptops."""
        models, cache = self.folder / "models", home / "xdg_cache_home" / "gpu-box"
        models.mkdir(exist_ok=True)
        cache.mkdir(parents=True)
        (cache / "models").symlink_to(models)

    def new_config(self, **settings: Any) -> Config:
        return Config(
            name=f"box-{secrets.token_hex(4)}",
            region="us-east-1",
            network=Network(allow_ssh_from=(ip_network("127.0.0.1/32"),)),
            ssh=Ssh(key=self.folder / "key"),
            **{"aws": Aws(tags=((COST, "ml-7"),)), **settings},
        )

    def calls_of(self, name: str) -> list[Called]:
        return self.undisturbed_run(name).calls

    def undisturbed_run(self, name: str) -> Saboteur:
        """What an undisturbed run calls and sends, in order."""
        command, config = COMMANDS[name], self.begin(name)
        laptop, saboteur = Laptop(config), Saboteur(answer=self.inside.answer)
        saboteur.follow(laptop.cloud)
        with impatient():
            command.run(laptop)
            seen = self.undisturbed(config).observe()
            assert command.right(seen), f"{name}: {shown(seen)}"
            command.removes(self.undisturbed(config))
        return saboteur

    def run(self, name: str, at: Place, fault: str) -> Outcome:
        command, config = COMMANDS[name], self.begin(name)
        self.watch_from_now()
        self.watch.denied = fault == "access denied"
        strike = self._kill if FAULTS[fault].kills else self._strike
        struck, ended_well = strike(command, config, at, fault)
        if not struck:
            return Outcome((), Seconds(), reached=False)
        self.watch.denied = False
        self.mend(command, config, twice=ended_well)
        return Outcome(tuple(self.watch.defects), self.watch.seconds)

    def watch_from_now(self) -> None:
        with self.inside.world.lock:
            self.watch.begin()

    def begin(self, name: str) -> Config:
        """The cloud and the laptop as the command finds them, the same each time."""
        command = COMMANDS[name]
        self.inside.machines = command.enters
        kept = self.folder / "prepared" / name.replace(" ", "-")
        if name not in self._prepared or command.enters:  # no disk of a machine is put back
            self.inside.restore(self._empty)
            shutil.rmtree(kept, ignore_errors=True)
            self._new_laptop(kept)
            config = self.new_config(**command.settings)
            os.environ.update(self.exports(kept))
            with impatient():
                command.prepare(self.undisturbed(config))
            self._prepared[name] = _Prepared(self.inside.snapshot(), config)
        if not command.enters:
            self.inside.restore(self._prepared[name].cloud)
        weather().change(self.timing)
        shutil.rmtree(self._now, ignore_errors=True)
        shutil.copytree(kept, self._now, symlinks=True)
        os.environ.update(self.exports(self._now))
        return self._prepared[name].config

    def forget_prices(self) -> None:
        """The laptop has to ask AWS for them again."""
        shutil.rmtree(self._now / "xdg_cache_home" / "gpu-box" / "prices", ignore_errors=True)

    def mend(self, command: Command, config: Config, *, twice: bool) -> None:
        """The same command again, undisturbed, then `down`. twice: the first time was no failure."""
        tell = self.watch.defects.append
        right = (command.twice if twice else None) or command.right
        with self.waits():
            try:
                command.run(self.undisturbed(config))
            except GpuBoxError as error:
                tell(f"the second run is refused: {error}")
            seen = self.undisturbed(config).observe()
            if not right(seen):
                tell(f"not right: {shown(seen)}")
            self.nothing_after(lambda: command.removes(self.undisturbed(config)))

    def nothing_after(self, down: Callable[[], object]) -> None:
        try:
            down()
        except GpuBoxError as error:
            self.watch.defects.append(f"down is refused: {error}")
        with self.inside.world.lock:
            if left := [f"{kind} {id_}" for kind, _, id_ in there()]:
                self.watch.defects.append(f"leak after down: {', '.join(left)}")

    def _strike(self, command: Command, config: Config, at: Place, fault: str) -> tuple[bool, bool]:
        """Whether it came to that, and whether the command ended well all the same."""
        laptop, saboteur = Laptop(config), Saboteur(at, FAULTS[fault], answer=self.inside.answer)
        saboteur.follow(laptop.cloud)
        try:
            with self.waits():
                command.run(laptop)
            return saboteur.struck, True
        except GpuBoxError:
            pass
        except Exception as error:
            self.watch.defects.append(f"no clear line: {type(error).__name__}: {error}")
        return saboteur.struck, False

    def _kill(self, command: Command, config: Config, at: Place, fault: str) -> tuple[bool, bool]:
        """In a process of its own, which the kernel ends."""
        dying = process(_die, config, command.name, at, fault)
        dying.start()
        dying.join(_ENDS_WITHIN_S)
        if dying.exitcode not in (0, -signal.SIGKILL):
            self.watch.defects.append(f"not killed, but ended with {dying.exitcode}")
        return dying.exitcode != 0, False

    def undisturbed(self, config: Config) -> Laptop:
        """Nothing strikes it, so all of these may share their clients, but not what one of them just made."""
        laptop = Laptop(config)
        if not self._lent:
            Saboteur(answer=self.inside.answer).follow(laptop.cloud)
            self._lent = {"_clients": laptop.cloud._clients, "region": laptop.cloud.region}
        laptop.cloud.__dict__.update(self._lent)
        made = laptop.cloud.made
        made.forget([*made._at, *made._things])
        return laptop


def _die(config: Config, name: str, at: Place, fault: str) -> None:
    laptop = Laptop(config)
    Saboteur(at, FAULTS[fault], really=True).follow(laptop.cloud)
    with impatient():
        COMMANDS[name].run(laptop)


def shown(seen: Observed) -> str:
    states = [f"{i.id} {i.state}" for i in seen.live]
    return json.dumps({"instances": states, "deadline": str(seen.deadline), "group": str(seen.group)})
