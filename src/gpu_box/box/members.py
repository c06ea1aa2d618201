"""The boxes of a config: `boxes: N` means N of them, each with its own config, handled in parallel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from gpu_box.aws.client import Cloud
from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.model.progress import Reporter

T = TypeVar("T")

# Cluster placement groups exclude burstable types (EC2 User Guide, "Cluster placement groups").
_BURSTABLE = ("t2.", "t3.", "t3a.", "t4g.")
_LONGEST_NAME = 32


def members_of(cloud: Cloud) -> tuple[Cloud, ...]:
    """A Cloud for each box, all in one session. Raises InputError as `configs_of` does."""
    configs = configs_of(cloud.config)
    return tuple(cloud if config == cloud.config else cloud.sharing(config) for config in configs)


def configs_of(config: Config) -> tuple[Config, ...]:
    """One config per box: NAME, NAME-2, ... Raises InputError for an impossible cluster."""
    if config.boxes == 1:
        return (config,)
    if config.cluster:  # one member, given by --name
        return (replace(config, boxes=1),)
    slow = next((kind for kind in config.instance_types if kind.startswith(_BURSTABLE)), None)
    if slow:
        raise InputError(
            f"{slow} cannot be in a cluster placement group",
            where="instance_types",
            remedy="Choose a GPU type, or set boxes: 1.",
        )
    last = f"{config.name}-{config.boxes}"
    if len(last) > _LONGEST_NAME:
        raise InputError(
            f"the last of {config.boxes} boxes would be named {last!r}: over {_LONGEST_NAME} characters",
            where="name",
            remedy="Choose a shorter name.",
        )
    names = [config.name, *(f"{config.name}-{number}" for number in range(2, config.boxes + 1))]
    return tuple(replace(config, name=name, boxes=1, cluster=config.name) for name in names)


def only_member(cloud: Cloud, what: str) -> Cloud:
    """The single box of a command that takes only one. Raises InputError for a cluster without --name."""
    configs = configs_of(cloud.config)
    if len(configs) > 1:
        names = ", ".join(member.name for member in configs)
        raise InputError(f"{what} works on one box at a time", remedy=f"Choose it with --name: {names}.")
    return members_of(cloud)[0]


def each_member(members: Sequence[Cloud], do: Callable[[Cloud, Reporter], T], report: Reporter) -> list[T]:
    """Run in parallel, with each member's name before its lines. Raises the first failure, in order."""
    if len(members) == 1:
        return [do(members[0], report)]
    with ThreadPoolExecutor(max_workers=len(members)) as pool:
        futures = [pool.submit(do, member, Named(member.config.name, report)) for member in members]
    return [future.result() for future in futures]


class Named:
    """A member's reporter: puts its name before each step and line."""

    def __init__(self, name: str, report: Reporter) -> None:
        self._name, self._report = name, report

    def start(self, step: str, line: str = "") -> None:
        self._report.start(self._of(step), self._of(line))

    def update(self, step: str, line: str) -> None:
        self._report.update(self._of(step), self._of(line))

    def done(self, step: str, line: str = "") -> None:
        self._report.done(self._of(step), self._of(line))

    def failed(self, step: str, line: str = "") -> None:
        self._report.failed(self._of(step), self._of(line))

    def note(self, line: str) -> None:
        self._report.note(self._of(line))

    def _of(self, line: str) -> str:
        return f"{self._name}: {line}" if line else line
