"""Read config.yaml and report every problem at once, before anything is changed.

Values are parsed from their text in the file, not from YAML's types: so 23:00 is a time of day (1380 in YAML
1.1), `no` is a word where a word is expected, and each problem has its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gpu_box.config import place, values
from gpu_box.config.document import MORE, MOST_BYTES, MOST_PROBLEMS, NULL_TAG, compose, shown
from gpu_box.config.model import (
    Aws,
    Config,
    Disk,
    Idle,
    ImageChoice,
    Jupyter,
    Limits,
    Network,
    Notify,
    Ssh,
    Sync,
)
from gpu_box.errors import ConfigError, InputError
from gpu_box.files import read_given

Parse = Callable[[str], Any]


@dataclass(frozen=True)
class Many:
    """A list of values. A single value counts as a list of one; duplicates are dropped."""

    parse: Parse
    least: int = 0


@dataclass(frozen=True)
class Pairs:
    """`name: value` lines with names of the user's choice."""

    name: Parse
    value: Parse
    most: int


Schema = Mapping[str, "Parse | Many | Pairs | Schema"]

_TIB = 1024
# Amazon EBS User Guide, "General Purpose SSD volumes" and "Provisioned IOPS SSD volumes". A gp3's baseline
# is free; higher throughput requires more IOPS, and more IOPS require a larger volume.
_GP3_LEAST_IOPS, _GP3_MOST_IOPS = 3_000, 80_000
_GP3_IOPS_PER_MIB = 4
_MOST_IOPS_PER_GIB = {"gp3": 500, "io2": 1_000}
# A resource has at most 50 (EC2 User Guide, "Tag restrictions"), of which gpu-box uses up to 25.
_MOST_TAGS = 20
SCHEMA: Schema = {
    "name": values.box_name,
    "region": values.region,
    "profile": values.text,
    "owner": values.tag_value,
    "boxes": values.integer(1, 32),
    "instance_types": Many(values.instance_type, least=1),
    "market": values.choice("on-demand", "spot", "spot-then-on-demand"),
    "zones": Many(values.zone),
    "packages": Many(values.requirement),
    "python": values.choice("auto", "none"),
    "setup": Many(values.text),
    "env": Many(values.variable),
    "env_file": values.path,
    "kaggle": values.boolean,
    "ports": Many(values.forward),
    "image": {
        "family": values.choice("deep-learning", "ubuntu"),
        "release": values.choice("24.04", "22.04"),
        "id": values.image_id,
        "user": values.user_name,
    },
    "disk": {
        "size_gib": values.integer(8, 16 * _TIB),
        "type": values.choice("gp3", "gp2", "io2"),
        "iops": values.integer(100, 256_000),
        "throughput_mib": values.integer(125, 2_000),
        "initialization_mib": values.integer_or_zero(100, 300),
    },
    "network": {
        "allow_ssh_from": Many(values.cidr, least=1),
        "subnet": Many(values.subnet_id),
    },
    "ssh": {"key": values.path, "config": values.boolean, "forward_agent": values.boolean},
    "idle": {
        "after": values.duration("2m", "24h"),
        "stuck_after": values.duration("2m", "7d"),
    },
    "limits": {
        "max_hours": values.duration("10m", "30d"),
        "stop_at": values.time_of_day,
        "budget": values.money,
        "forgotten_after": values.duration("1d", "365d"),
    },
    "sync": {"source": values.path, "exclude": Many(values.text), "results": values.path},
    "jupyter": {"port": values.integer(1024, 65535)},
    "notify": {
        "webhook": values.webhook,
        "format": values.choice("slack", "discord", "ntfy", "json"),
        "command": values.text,
        "desktop": values.boolean,
    },
    "aws": {
        "tags": Pairs(values.tag_key, values.tag_value, most=_MOST_TAGS),
        "deadline_role": values.role_arn,
        "permissions_boundary": values.policy_arn,
        "role_path": values.role_path,
        "kms_key": values.kms_key_arn,
    },
}
_SECTIONS = {
    "image": ImageChoice,
    "disk": Disk,
    "network": Network,
    "ssh": Ssh,
    "idle": Idle,
    "limits": Limits,
    "sync": Sync,
    "jupyter": Jupyter,
    "notify": Notify,
    "aws": Aws,
}


def load(path: Path | None = None, *, name: str | None = None) -> Config:
    """The config at `path`, or the config.yaml of the current folder (`config.place`), or all defaults.

    `name` overrides the file's. Paths in the file are relative to it. Raises InputError if a named file is
    missing, ConfigError with all problems of a file.
    """
    if name is not None:
        try:
            values.box_name(name)
        except ValueError as error:
            raise InputError(str(error), where="--name") from None
    found = path if path is not None else place.find()
    if found is None:
        config = _anchored(Config(), _resolved(Path(".")))
        return config if name is None else _named(config, name)
    try:
        content = read_given(found, MOST_BYTES + 1)
    except FileNotFoundError:
        what = "is a broken link" if found.is_symlink() else "no such file"
        raise InputError(what, where=str(found), remedy="`gpu-box init` writes a config.yaml.") from None
    except (OSError, ValueError) as error:  # ValueError: an impossible path
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"cannot be read: {why}",
            where=repr(str(found))[1:-1],
            remedy=None if path else "Fix it, or name another file with --config.",
        ) from None
    else:
        config = parse(content, found)
    return config if name is None else _named(config, name)


def _named(config: Config, name: str) -> Config:
    """The same config for another box. With `boxes: 2` and name NAME, NAME-2 is the second member."""
    first, _, number = name.rpartition("-")
    if config.boxes > 1 and first == config.name and number.isdigit() and 2 <= int(number) <= config.boxes:
        return replace(config, name=name, cluster=config.name)
    return replace(config, name=name)


def parse(content: bytes, path: Path) -> Config:
    """content: the bytes of the file at `path`, which is not read. Raises ConfigError."""
    reading = _Reading()
    try:
        given = reading.section(compose(content, path), SCHEMA, "")
    except _TooMany:
        raise reading.error(path) from None
    default = Config()
    sections = {
        key: replace(getattr(default, key), **given.pop(key)) for key in list(given) if key in _SECTIONS
    }
    resolved = _resolved(path)
    config = replace(default, path=resolved, **given, **sections)
    for (name, *others), what in _conflicts(config):
        reading.conflict(name, others, what)
    if reading.problems:
        raise reading.error(path)
    return _anchored(config, resolved.parent)


class _TooMany(Exception):
    """Enough problems for one report."""


@dataclass
class _Reading:
    """One pass through a file."""

    problems: list[tuple[tuple[int, int], str]] = field(default_factory=list)  # (line, column) from 0, what
    places: dict[str, tuple[int, int]] = field(default_factory=dict)  # position of each key present
    wrong: set[str] = field(default_factory=set)  # keys with a problem of their own

    def error(self, path: Path) -> ConfigError:
        lines = [f"line {line + 1}: {what}" for (line, _), what in sorted(self.problems)]
        return ConfigError(lines + [MORE] * (len(lines) >= MOST_PROBLEMS), where=str(path))

    def section(self, node: Any, schema: Schema, prefix: str) -> dict[str, Any]:
        of = prefix.rstrip(".")
        if node.id != "mapping":
            self._problem(node, of, f"must hold `key: value` lines; it has {_describe(node)}")
            return {}
        given: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.id != "scalar":
                self._problem(key_node, of, "a key must be a word")
                continue
            key, name = key_node.value, prefix + shown(key_node.value)
            if name in self.places:
                first = self.places[name][0] + 1
                self._problem(key_node, name, f"is set twice (first on line {first})")
                continue
            self.places[name] = _place(key_node)
            wanted = schema.get(key)
            if wanted is None and key == "<<":
                what = "merge keys (<<) are not supported; write out the values"
                self._problem(key_node, name, what)
                continue
            if wanted is None:
                self._problem(key_node, name, f"unknown key; {_suggestion(key, prefix, schema)}")
                continue
            value = self._value(value_node, wanted, name)
            if value is not None:
                given[key] = value
        return given

    def conflict(self, name: str, others: list[str], what: str) -> None:
        """A problem between keys; skipped if one of them has its own problem, which may be the cause."""
        if not self.wrong.intersection([name, *others]):
            self.problems.append((self.places.get(name, (0, 0)), f"{name}: {what}"))

    def _value(self, node: Any, wanted: Parse | Many | Pairs | Schema, name: str) -> Any:
        if isinstance(wanted, Mapping):
            if _is_null(node):
                return None  # a section whose keys are all commented out
            return self.section(node, wanted, name + ".") or None
        if isinstance(wanted, Many):
            return self._list(node, wanted, name)
        if isinstance(wanted, Pairs):
            return self._pairs(node, wanted, name)
        return self._scalar(node, wanted, name)

    def _list(self, node: Any, wanted: Many, name: str) -> tuple[Any, ...] | None:
        items = node.value if node.id == "sequence" else [node]
        if node.id == "mapping":
            hint = _as_items(node, wanted.parse)
            self._problem(node, name, f"must be one value or a list; it is {_describe(node)}{hint}")
            return None
        if parts := _listed(node, wanted.parse):
            self._problem(node, name, f"is a list: write [{', '.join(parts)}]")
            return None
        found = tuple(self._scalar(item, wanted.parse, name) for item in items)
        if len(found) < wanted.least:
            self._problem(node, name, f"must name at least {wanted.least}")
        return None if None in found else tuple(dict.fromkeys(found))

    def _pairs(self, node: Any, wanted: Pairs, name: str) -> tuple[tuple[str, str], ...] | None:
        if node.id != "mapping":
            self._problem(node, name, f"must contain `name: value` pairs; it contains {_describe(node)}")
            return None
        found: dict[str, tuple[str, str]] = {}
        before = len(self.problems)
        for name_node, value_node in node.value:
            key = self._scalar(name_node, wanted.name, name)
            value = self._scalar(value_node, wanted.value, f"{name}.{shown(key)}" if key else name)
            if key is None or value is None:
                continue
            if key.lower() in found:  # IAM ignores the case of tag names
                self._problem(name_node, name, f"{key} is there twice")
            found[key.lower()] = (key, value)
        if len(node.value) > wanted.most:
            self._problem(node, name, f"has {len(node.value)} pairs; at most {wanted.most} are allowed")
        return tuple(found.values()) if len(self.problems) == before else None

    def _scalar(self, node: Any, parse: Parse, name: str) -> Any:
        if node.id != "scalar":
            hint = _as_items(node, parse) if node.id == "mapping" else ""
            self._problem(node, name, f"must be one value; it is {_describe(node)}{hint}")
            return None
        if _is_null(node):
            self._problem(node, name, "has no value; give one, or remove the line")
            return None
        try:
            return parse(node.value)
        except ValueError as error:
            self._problem(node, name, str(error))
            return None

    def _problem(self, node: Any, name: str, what: str) -> None:
        self.wrong.add(name)
        self.problems.append((_place(node), f"{name}: {what}" if name else what))  # "": the whole file
        if len(self.problems) >= MOST_PROBLEMS:
            raise _TooMany


def _place(node: Any) -> tuple[int, int]:
    return node.start_mark.line, node.start_mark.column


def _is_null(node: Any) -> bool:
    return bool(node.tag == NULL_TAG)


def _describe(node: Any) -> str:
    if _is_null(node):
        return "nothing"
    return {"mapping": "a group of keys", "sequence": "a list"}.get(node.id, f"{node.value[:40]!r}")


def _listed(node: Any, parse: Parse) -> list[str]:
    """The values of a text such as "g4dn.xlarge, g5.xlarge", which is one value in YAML; or none."""
    if node.id != "scalar" or "=" in node.value:  # a variable may hold a secret
        return []
    parts = re.split(r"[,\s]+", node.value.strip())
    try:
        parse(node.value)
        return []
    except ValueError:
        pass
    try:
        return parts if len(parts) > 1 and [parse(part) for part in parts] else []
    except ValueError:
        return []


def _as_items(node: Any, parse: Parse) -> str:
    """ "; write [A=VALUE]" for a group of keys that is meant as a list, or "". No value of `env` is shown."""
    pairs = [(name.value, value.value) for name, value in node.value if name.id == value.id == "scalar"]
    if parse is values.variable:
        items = [f"{name}=VALUE" for name, _ in pairs]
    elif parse is values.forward:
        items = [f"{name}:{value}" for name, value in pairs]
    else:
        return ""
    try:
        parsed = [parse(item) for item in items]
    except ValueError:
        return ""
    return f"; write [{', '.join(items)}]" if parsed and len(parsed) == len(node.value) else ""


def _suggestion(key: str, prefix: str, schema: Schema) -> str:
    """The closest valid key, first of this section, then of others; or all keys of this section."""
    leaves = {name.rsplit(".", 1)[-1]: name for name, _ in _names(SCHEMA, "")}
    near = (
        [prefix + name for name in get_close_matches(key, list(schema), n=1, cutoff=0.7)]
        or [leaves[leaf] for leaf in get_close_matches(key, list(leaves), n=1, cutoff=0.8)]
        or [name for leaf, name in leaves.items() if leaf.startswith(f"{key}_")]
        or get_close_matches(prefix + key, list(leaves.values()), n=1, cutoff=0.7)
    )
    return f"did you mean {near[0]}?" if near else f"valid keys: {', '.join(schema)}"


def _names(schema: Schema, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, wanted in schema.items():
        yield prefix + key, wanted
        if isinstance(wanted, Mapping):
            yield from _names(wanted, f"{prefix}{key}.")


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except FileNotFoundError:
        remedy = "Change to an existing folder and run it again."
        raise InputError("the current folder no longer exists", remedy=remedy) from None


def _anchored(config: Config, folder: Path) -> Config:
    """Make paths absolute: relative to the file, with ~ as the home folder."""
    try:
        key = config.ssh.key.expanduser()
    except RuntimeError:
        raise InputError(
            f"{config.ssh.key} begins with ~, but you have no home folder",
            where="ssh.key",
            remedy="Set HOME, or give a path that begins with /.",
        ) from None
    return replace(
        config,
        env_file=folder / config.env_file if config.env_file else None,
        ssh=replace(config.ssh, key=folder / key),
        sync=replace(config.sync, source=folder / config.sync.source, results=folder / config.sync.results),
    )


def _conflicts(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """Values that are valid alone but not together: the keys, the likely culprit first, and the problem."""
    if config.region:
        for zone in config.zones:
            if not zone.startswith(config.region):
                yield ("zones", "region"), f"{zone} is not in region {config.region}"
    key = config.aws.kms_key
    if key and config.region and key.split(":")[3] != config.region:
        yield ("aws.kms_key", "region"), f"is a key of {key.split(':')[3]}, not of region {config.region}"
    if config.idle.stuck_after < config.idle.after:
        if config.idle.stuck_after != Idle().stuck_after:
            yield ("idle.stuck_after", "idle.after"), "must not be shorter than idle.after"
        else:
            yield ("idle.after", "idle.stuck_after"), "must not be longer than idle.stuck_after"
    for port in sorted({one.local for one in config.ports}):
        if sum(one.local == port for one in config.ports) > 1:
            yield ("ports",), f"port {port} of this laptop is there twice"
    for (key, *others), what in _disk_conflicts(config.disk):
        yield (f"disk.{key}", *(f"disk.{other}" for other in others)), what


def _disk_conflicts(disk: Disk) -> Iterator[tuple[tuple[str, ...], str]]:
    if disk.throughput_mib and disk.type != "gp3":
        yield ("throughput_mib", "type"), f"is for gp3 disks, not {disk.type}"
    elif disk.throughput_mib and disk.throughput_mib * _GP3_IOPS_PER_MIB > (disk.iops or _GP3_LEAST_IOPS):
        least = f"{disk.throughput_mib * _GP3_IOPS_PER_MIB:,}"
        yield ("throughput_mib", "type", "iops"), f"needs disk.iops of at least {least}"
    if disk.type == "io2" and not disk.iops:
        yield ("type", "iops"), "io2 needs disk.iops"
    if not disk.iops:
        return
    if disk.type == "gp2":
        yield ("iops", "type"), "cannot be chosen for gp2 disks"
        return
    article = "a" if disk.type == "gp3" else "an"
    most_of_size = disk.size_gib * _MOST_IOPS_PER_GIB[disk.type]
    if disk.type == "gp3" and disk.iops < _GP3_LEAST_IOPS:
        yield ("iops", "type"), f"a gp3 disk has at least {_GP3_LEAST_IOPS:,}"
    elif disk.type == "gp3" and disk.iops > _GP3_MOST_IOPS:
        yield ("iops", "type"), f"a gp3 disk has at most {_GP3_MOST_IOPS:,}"
    elif disk.iops > most_of_size:
        what = f"{article} {disk.type} disk of {disk.size_gib} GiB has at most {most_of_size:,}"
        yield ("iops", "type", "size_gib"), what
