"""Read config.yaml: all of it, and every problem at once, before anything is touched.

Values are read from their text as it stands in the file, not from what YAML makes of it: so 23:00 is a time
of day (YAML 1.1 says 1380), `no` is a word where a word is wanted, and each problem knows its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gpu_box import config_values as values
from gpu_box.config import Config, Disk, Idle, Image, Jupyter, Limits, Network, Ssh, Sync
from gpu_box.errors import ConfigError, InputError

_NULL_TAG = "tag:yaml.org,2002:null"

Parse = Callable[[str], Any]


@dataclass(frozen=True)
class Many:
    """A list of values; one value alone is a list of one."""

    parse: Parse
    least: int = 0


Schema = Mapping[str, "Parse | Many | Schema"]

_GIB = 1024
SCHEMA: Schema = {
    "name": values.box_name,
    "region": values.region,
    "profile": values.text,
    "owner": values.tag_value,
    "instance_types": Many(values.instance_type, least=1),
    "zones": Many(values.zone),
    "packages": Many(values.text),
    "image": {
        "family": values.choice("deep-learning", "ubuntu"),
        "release": values.choice("24.04", "22.04"),
        "id": values.image_id,
        "user": values.user_name,
    },
    "disk": {
        "size_gib": values.integer(8, 16 * _GIB),
        "type": values.choice("gp3", "gp2", "io2"),
        "iops": values.integer(100, 256_000),
        "throughput_mib": values.integer(125, 2_000),
    },
    "network": {
        "allow_ssh_from": Many(values.cidr, least=1),
        "subnet": values.subnet_id,
    },
    "ssh": {"key": values.path, "config": values.boolean},
    "idle": {
        "after": values.duration("2m", "24h"),
        "stuck_after": values.duration("2m", "7d"),
    },
    "limits": {
        "max_hours": values.duration("10m", "30d"),
        "stop_at": values.time_of_day,
    },
    "sync": {"source": values.path, "exclude": Many(values.text), "results": values.path},
    "jupyter": {"port": values.integer(1024, 65535)},
}
_SECTIONS = {
    "image": Image,
    "disk": Disk,
    "network": Network,
    "ssh": Ssh,
    "idle": Idle,
    "limits": Limits,
    "sync": Sync,
    "jupyter": Jupyter,
}


def load(path: Path | None = None, *, name: str | None = None) -> Config:
    """The config at `path`, else ./config.yaml if it is there, else all defaults. `name` wins over its own.

    Paths in it are relative to the file. Raises InputError if a named file is missing, ConfigError for all
    that is wrong in it.
    """
    if name is not None:
        try:
            values.box_name(name)
        except ValueError as error:
            raise InputError(str(error), where="--name") from None
    found = path if path is not None else Path("config.yaml")
    try:
        content = found.read_bytes()
    except FileNotFoundError:
        if path is not None:
            raise InputError(
                "no such file", where=str(path), remedy="`gpu-box init` writes a config.yaml."
            ) from None
        config = _anchored(Config(), Path.cwd())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(found)) from None
    else:
        config = parse(content, found)
    return config if name is None else replace(config, name=name)


def parse(content: bytes, path: Path) -> Config:
    """content: of the file at `path`, which is not read. Raises ConfigError."""
    reading = _Reading()
    given = reading.section(_compose(content, path), SCHEMA, "")
    config = Config()
    if not reading.problems:
        sections = {
            key: replace(getattr(config, key), **given.pop(key)) for key in list(given) if key in _SECTIONS
        }
        config = _anchored(replace(config, path=path.resolve(), **given, **sections), path.resolve().parent)
        reading.problems += [(reading.line_of(key), f"{key}: {what}") for key, what in _at_odds(config)]
    if reading.problems:
        raise ConfigError(
            [f"line {line}: {what}" if line else what for line, what in sorted(reading.problems)],
            where=str(path),
        )
    return config


def _compose(content: bytes, path: Path) -> Any:
    """The YAML as nodes, which know their text and their line. None of YAML's types is made of them."""
    import yaml

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"line {line}: not UTF-8 text"], where=str(path)) from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError([f"{at}broken YAML: {what}"], where=str(path)) from None
    except RecursionError:
        raise ConfigError(["nested too deeply"], where=str(path)) from None
    if node is None:
        raise ConfigError(["is empty; remove it, or write one with `gpu-box init --force`"], where=str(path))
    return node


@dataclass
class _Reading:
    """One walk through a file."""

    problems: list[tuple[int, str]] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)

    def section(self, node: Any, schema: Schema, prefix: str) -> dict[str, Any]:
        if node.id != "mapping":
            of = prefix.rstrip(".") or "the file"
            self._problem(node, f"{of}: must hold `key: value` lines; it holds {_describe(node)}")
            return {}
        given: dict[str, Any] = {}
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.id != "scalar":
                self._problem(key_node, f"{prefix or 'the file: '}a key must be a word")
                continue
            key, name = key_node.value, prefix + key_node.value
            line = key_node.start_mark.line + 1
            if key in seen:
                self._problem(key_node, f"{name}: is there twice (first on line {seen[key]})")
                continue
            seen[key] = self.lines[name] = line
            wanted = schema.get(key)
            if wanted is None:
                self._problem(key_node, f"{name}: unknown key{_meant(key, prefix)}")
                continue
            value = self._value(value_node, wanted, name)
            if value is not None:
                given[key] = value
        return given

    def line_of(self, key: str) -> int:
        return self.lines.get(key, 0)

    def _value(self, node: Any, wanted: Parse | Many | Schema, name: str) -> Any:
        if isinstance(wanted, Mapping):
            if _is_null(node):
                return None  # a section whose keys are all commented out
            return self.section(node, wanted, name + ".") or None
        if isinstance(wanted, Many):
            return self._list(node, wanted, name)
        return self._scalar(node, wanted, name)

    def _list(self, node: Any, wanted: Many, name: str) -> tuple[Any, ...] | None:
        items = node.value if node.id == "sequence" else [node]
        found = tuple(self._scalar(item, wanted.parse, name) for item in items)
        if len(found) < wanted.least:
            self._problem(node, f"{name}: must name at least {wanted.least}")
        return None if None in found else found

    def _scalar(self, node: Any, parse: Parse, name: str) -> Any:
        if node.id != "scalar":
            self._problem(node, f"{name}: must be one value; it is {_describe(node)}")
            return None
        if _is_null(node):
            self._problem(node, f"{name}: has no value; give one, or remove the line")
            return None
        try:
            return parse(node.value)
        except ValueError as error:
            self._problem(node, f"{name}: {error}")
            return None

    def _problem(self, node: Any, what: str) -> None:
        self.problems.append((node.start_mark.line + 1, what))


def _is_null(node: Any) -> bool:
    return bool(node.tag == _NULL_TAG)


def _describe(node: Any) -> str:
    if _is_null(node):
        return "nothing"
    return {"mapping": "a group of keys", "sequence": "a list"}.get(node.id, f"{node.value[:40]!r}")


def _meant(key: str, prefix: str) -> str:
    """The nearest right key: of this section first, of any other after it."""
    names = dict(_names(SCHEMA, ""))
    here = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    near = get_close_matches(key, [name for name in here if "." not in name], n=1, cutoff=0.7)
    if near:
        return f"; did you mean {prefix}{near[0]}?"
    elsewhere = [name for name in names if name.rsplit(".", 1)[-1] == key] or get_close_matches(
        key, list(names), n=1, cutoff=0.7
    )
    return f"; did you mean {elsewhere[0]}?" if elsewhere else "; config.example.yaml lists all"


def _names(schema: Schema, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, wanted in schema.items():
        yield prefix + key, wanted
        if isinstance(wanted, Mapping):
            yield from _names(wanted, f"{prefix}{key}.")


def _anchored(config: Config, folder: Path) -> Config:
    """Relative paths are relative to the file, ~ is the home folder."""

    def absolute(path: Path) -> Path:
        return folder / path.expanduser()

    return replace(
        config,
        ssh=replace(config.ssh, key=absolute(config.ssh.key)),
        sync=replace(config.sync, source=absolute(config.sync.source), results=absolute(config.sync.results)),
    )


def _at_odds(config: Config) -> Iterator[tuple[str, str]]:
    """Values that are right alone and wrong together."""
    if config.region:
        for zone in config.zones:
            if not zone.startswith(config.region):
                yield "zones", f"{zone} is not in region {config.region}"
    if config.idle.stuck_after < config.idle.after:
        yield "idle.stuck_after", "must not be shorter than idle.after"
    if config.disk.throughput_mib and config.disk.type != "gp3":
        yield "disk.throughput_mib", f"is for gp3 disks, not {config.disk.type}"
    if config.disk.iops and config.disk.type == "gp2":
        yield "disk.iops", "cannot be chosen for gp2 disks"
    if config.disk.type == "io2" and not config.disk.iops:
        yield "disk.type", "io2 needs disk.iops"
