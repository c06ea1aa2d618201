"""The boxes that a config names: `boxes: N` is N of them, each with the config of one, done side by side."""

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

# A cluster placement group does not take them (EC2 User Guide, "Cluster placement groups").
_BURSTABLE = ("t2.", "t3.", "t3a.", "t4g.")
_LONGEST_NAME = 32


def members_of(cloud: Cloud) -> tuple[Cloud, ...]:
    """AWS for each box, with one session for all. Raises InputError as `configs_of`."""
    configs = configs_of(cloud.config)
    return tuple(cloud if config == cloud.config else cloud.sharing(config) for config in configs)


def configs_of(config: Config) -> tuple[Config, ...]:
    """Each as the config of one box: NAME, NAME-2, ... Raises InputError for what no cluster can be."""
    if config.boxes == 1:
        return (config,)
    if config.cluster:  # one of them, named by --name
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
            f"the last of {config.boxes} boxes would be {last!r}: over {_LONGEST_NAME} characters",
            where="name",
            remedy="Choose a shorter name.",
        )
    names = [config.name, *(f"{config.name}-{number}" for number in range(2, config.boxes + 1))]
    return tuple(replace(config, name=name, boxes=1, cluster=config.name) for name in names)


def only_member(cloud: Cloud, what: str) -> Cloud:
    """For what can be of one box only. Raises InputError for a cluster of which none is named."""
    configs = configs_of(cloud.config)
    if len(configs) > 1:
        names = ", ".join(member.name for member in configs)
        raise InputError(f"{what} is of one box at a time", remedy=f"Name it: --name, one of {names}.")
    return members_of(cloud)[0]


def each_member(members: Sequence[Cloud], do: Callable[[Cloud, Reporter], T], report: Reporter) -> list[T]:
    """Side by side, each with its name before its lines. The first failure, in order, is raised."""
    if len(members) == 1:
        return [do(members[0], report)]
    with ThreadPoolExecutor(max_workers=len(members)) as pool:
        futures = [pool.submit(do, member, Named(member.config.name, report)) for member in members]
    return [future.result() for future in futures]


class Named:
    """A reporter of one member: its name before each step and line."""

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
