"""config.yaml: every mistake is reported, one line each, before anything changes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import time, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpu_box.config.model import Config, Disk, ImageChoice, Limits, Network, Sync
from gpu_box.config.read import SCHEMA, load, parse
from gpu_box.errors import ConfigError, InputError
from gpu_box.resources import example_config

FILE = Path("/somewhere/config.yaml")
TOP_LEVEL = (
    "name, region, profile, owner, boxes, instance_types, market, zones, packages, python, setup, env, "
    "env_file, kaggle, ports, image, disk, network, ssh, idle, limits, sync, jupyter, notify, aws"
)
COLON = "a second colon on one line, or a line indented too far; quote a value that has `: ` in it"


def problems(content: str | bytes) -> list[str]:
    """The mistakes as printed, without the file name at the start of each line."""
    raw = content.encode() if isinstance(content, str) else content
    with pytest.raises(ConfigError) as caught:
        parse(raw, FILE)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.problems)
    assert all(line.startswith(f"{FILE}: ") for line in lines)
    assert caught.value.exit_code == 2
    return [line.removeprefix(f"{FILE}: ") for line in lines]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        # misspelt, or correct in another place
        ("instance_type: g5.xlarge", "instance_type: unknown key; did you mean instance_types?"),
        ("Name: x", "Name: unknown key; did you mean name?"),
        ("regoin: us-east-1", "regoin: unknown key; did you mean region?"),
        ("max_hours: 3h", "max_hours: unknown key; did you mean limits.max_hours?"),
        ("limits: {after: 1h}", "limits.after: unknown key; did you mean idle.after?"),
        ("image: {famly: ubuntu}", "image.famly: unknown key; did you mean image.family?"),
        ("disk: {size: 50}", "disk.size: unknown key; did you mean disk.size_gib?"),
        ("disk_size: 50", "disk_size: unknown key; did you mean disk.size_gib?"),
        ("disk: {name: x}", "disk.name: unknown key; did you mean name?"),
        ("spot: true", f"spot: unknown key; valid keys: {TOP_LEVEL}"),
        ("idle: {quux: 1}", "idle.quux: unknown key; valid keys: after, stuck_after"),
        ("<<: {name: x}", "<<: merge keys (<<) are not supported; write out the values"),
        ('"a\\nb": 1', f"'a\\nb': unknown key; valid keys: {TOP_LEVEL}"),
        ("? [a]\n: 1", "a key must be a word"),
        ("image: {[a]: 1}", "image: a key must be a word"),
        # twice
        ("disk: {type: gp3, type: gp2}", "disk.type: is set twice (first on line 1)"),
        # a group instead of a value, and the reverse
        ("name: [a, b]", "name: must be one value; it is a list"),
        ("region: {a: b}", "region: must be one value; it is a group of keys"),
        ("disk: 100", "disk: must hold `key: value` lines; it has '100'"),
        ("ssh: [1]", "ssh: must hold `key: value` lines; it has a list"),
        ("zones: {a: b}", "zones: must be one value or a list; it is a group of keys"),
        ("env: {A: s3cr3t}", "env: must be one value or a list; it is a group of keys; write [A=VALUE]"),
        ("env: [A: s3cr3t]", "env: must be one value; it is a group of keys; write [A=VALUE]"),
        (
            "ports: {8080: 7860}",
            "ports: must be one value or a list; it is a group of keys; write [8080:7860]",
        ),
        ("idle: {<<: {after: 30m}}", "idle.<<: merge keys (<<) are not supported; write out the values"),
        (
            "disk: {size_gib: 99999999999999999999999}",
            "disk.size_gib: 99999999999999999999999 is out of range: 8 to 16384",
        ),
        ("idle: {after: 99999999999999d}", "idle.after: '99999999999999d' is too long"),
        ("idle: {after: 0}", "idle.after: '0' is not a duration such as 30m, 2h or 1h30m"),
        ("limits: {budget: 99999999999999}", "limits.budget: 99999999999999 is out of range: $1 to $100,000"),
        ("zones: [[us-east-1a]]", "zones: must be one value; it is a list"),
        ("- name", "must hold `key: value` lines; it has a list"),
        ("hello", "must hold `key: value` lines; it has 'hello'"),
        # nothing
        ("name: ~", "name: has no value; give one, or remove the line"),
        ("name: null", "name: has no value; give one, or remove the line"),
        ("name:", "name: has no value; give one, or remove the line"),
        ("zones: [us-east-1a, ~]", "zones: has no value; give one, or remove the line"),
        ("instance_types: []", "instance_types: must name at least 1"),
        ("network: {allow_ssh_from: []}", "network.allow_ssh_from: must name at least 1"),
        ('profile: ""', "profile: is empty"),
        # invalid values (all of them: test_config_values)
        ("disk: {size_gib: big}", "disk.size_gib: 'big' is not a whole number"),
        ("disk: {size_gib: 100.5}", "disk.size_gib: '100.5' is not a whole number"),
        ("disk: {size_gib: 7}", "disk.size_gib: 7 is out of range: 8 to 16384"),
        ("ssh: {config: maybe}", "ssh.config: 'maybe' is not true or false"),
        ("image: {release: 20.04}", "image.release: '20.04' is not one of 24.04, 22.04"),
        ("idle: {after: 30}", "idle.after: '30' is not a duration such as 30m, 2h or 1h30m; 30m or 30h?"),
        ("idle: {after: 1m}", "idle.after: 1m is out of range: 2 min to 1 d"),
        ("limits: {max_hours: 0h}", "limits.max_hours: 0h is out of range: 10 min to 30 d"),
        ("limits: {forgotten_after: 1h}", "limits.forgotten_after: 1h is out of range: 1 d to 365 d"),
        ("limits: {stop_at: 24:00}", "limits.stop_at: '24:00' is not a time of day such as 23:00"),
        ("limits: {stop_at: 1380}", "limits.stop_at: '1380' is not a time of day such as 23:00"),
        ("ports: [web]", "ports: 'web' is not a port such as 6006, or LAPTOP:BOX such as 8080:7860"),
        ("ports: 70000", "ports: 70000 is not a port: 1 to 65535"),
        ("ports: [443]", "ports: port 443 of this laptop needs root; give a higher one, such as 8443:443"),
        ("ports: [6006, 6006:1]", "ports: port 6006 of this laptop is there twice"),
        ("ports: {web: 1}", "ports: must be one value or a list; it is a group of keys"),
        ("jupyter: {port: 80}", "jupyter.port: 80 is out of range: 1024 to 65535"),
        # valid alone, invalid together
        ("region: us-east-1\nzones: [us-west-2a]", "zones: us-west-2a is not in region us-east-1"),
        ("idle: {after: 3h}", "idle.after: must not be longer than idle.stuck_after"),
        ("idle: {stuck_after: 5m}", "idle.stuck_after: must not be shorter than idle.after"),
        ("disk: {type: gp2, throughput_mib: 200}", "disk.throughput_mib: is for gp3 disks, not gp2"),
        ("disk: {type: gp2, iops: 4000}", "disk.iops: cannot be chosen for gp2 disks"),
        ("disk: {iops: 500}", "disk.iops: a gp3 disk has at least 3,000"),
        ("disk: {iops: 90000, size_gib: 999}", "disk.iops: a gp3 disk has at most 80,000"),
        ("disk: {iops: 5000, size_gib: 9}", "disk.iops: a gp3 disk of 9 GiB has at most 4,500"),
        (
            "disk: {type: io2, iops: 9000, size_gib: 8}",
            "disk.iops: an io2 disk of 8 GiB has at most 8,000",
        ),
        ("disk: {throughput_mib: 751}", "disk.throughput_mib: needs disk.iops of at least 3,004"),
        (
            "disk: {throughput_mib: 1001, iops: 4000}",
            "disk.throughput_mib: needs disk.iops of at least 4,004",
        ),
        ("disk: {type: io2}", "disk.type: io2 needs disk.iops"),
        # parts of YAML that a config does not need
        ("name: &a box", "anchors (&a) are not supported; remove it, or quote the value"),
        ("packages: [*a]", "aliases (*a) are not supported; write out the value, or quote it"),
        ("image: &a {family: *a}", "anchors (&a) are not supported; remove it, or quote the value"),
        ("name: !!binary aGk=", "tags (!!binary) are not supported; remove it, or quote the value"),
        (
            "name: !!python/object:os.system x",
            "tags (!!python/object:os.system) are not supported; remove it, or quote the value",
        ),
        ("a: " + "[" * 60_000, "nested too deeply"),
        ("name: a\x07b", "the character '\\x07' is not allowed in YAML"),
    ],
)
def test_a_wrong_line_is_reported_in_one_line(content: str, problem: str) -> None:
    first, *_ = problems(content)
    assert re.sub(r"^line \d+: ", "", first) == problem


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name: a: b", f"line 1, column 8: broken YAML: {COLON}"),
        ("name: a\n  region: b", f"line 2, column 9: broken YAML: {COLON}"),
        ("disk:\n\tsize_gib: 9", "line 2, column 1: broken YAML: a tab; YAML is indented with spaces"),
        ("a: 1\nb: [1, 2\nc: 3", "line 3, column 2: broken YAML: expected ',' or ']', but got ':'; "
                                 "the value begins on line 2"),
        ("name: 'a\n", "line 2, column 1: broken YAML: the file ends inside a quoted text; "
                       "the value begins on line 1"),
        ("name: 'a\n---\nb'", "line 2, column 1: broken YAML: a line that begins with --- or ... "
                              "inside a quoted text; the value begins on line 1"),
        ("owner: @ada", 'line 1, column 8: broken YAML: quote a value that begins with @: "@ada"'),
        ("name: a\n--- \nname: b", "line 2: a second document begins (---); a config has only one"),
        (b"name: a\nowner: \xff", "line 2: not UTF-8 text"),
        ("name: a".encode("utf-16"), "line 1: not UTF-8 text"),
        (b"#" * 64_001, "is larger than a config can be (64 kB)"),
    ],
)  # fmt: skip
def test_broken_yaml_is_placed_by_line_and_column(content: str | bytes, said: str) -> None:
    assert problems(content) == [said]


@pytest.mark.parametrize("content", ["", "\n\n", "# name: x\n", "---\n", "~", "\ufeff", "\ufeff# only\n"])
def test_an_empty_file_is_a_mistake_and_not_all_defaults(content: str) -> None:
    assert problems(content) == ["is empty; remove it, or write one with `gpu-box init --force`"]


def test_every_problem_is_reported_at_once_and_in_file_order() -> None:
    content = """\
zones: [us-west-2a, nowhere]
name: -x-
disk: {type: floppy, size_gib: 1}
region: mars
name: twice
limits:
  max_hours: ever
  hours: 3
idle: {after: 3h}
"""
    assert problems(content) == [
        "line 1: zones: 'nowhere' is not a zone such as us-east-1a",
        "line 2: name: '-x-' is not a box name: 1 to 32 letters, digits and hyphens, no hyphen at either end",
        "line 3: disk.type: 'floppy' is not one of gp3, gp2, io2",
        "line 3: disk.size_gib: 1 is out of range: 8 to 16384",
        "line 4: region: 'mars' is not an AWS region such as us-east-1",
        "line 5: name: is set twice (first on line 2)",
        "line 7: limits.max_hours: 'ever' is not a duration such as 30m, 2h or 1h30m",
        "line 8: limits.hours: unknown key; did you mean limits.max_hours?",
        "line 9: idle.after: must not be longer than idle.stuck_after",
    ]


def test_a_bad_value_is_not_also_reported_as_missing() -> None:
    assert problems("disk: {type: io2, iops: many}") == ["line 1: disk.iops: 'many' is not a whole number"]


@pytest.mark.parametrize(
    ("content", "config"),
    [
        ("{}", Config()),
        ("name: ada-1", Config(name="ada-1")),
        ("\ufeffname: bom\r\nregion: eu-west-1\r\n", Config(name="bom", region="eu-west-1")),
        ("disk:\n  # all commented out", Config()),
        ("instance_types: g5.xlarge", Config(instance_types=("g5.xlarge",))),
        ("zones: []", Config()),
        ("limits: {stop_at: 23:00}", Config(limits=Limits(stop_at=time(23, 0)))),
        ("limits: {stop_at: 7:05}", Config(limits=Limits(stop_at=time(7, 5)))),
        ("limits: {max_hours: 1d 2h}", Config(limits=Limits(max_hours=timedelta(hours=26)))),
        ("image: {release: 22.04}", Config(image=ImageChoice(release="22.04"))),
        ("disk: {type: io2, iops: 500}", Config(disk=Disk(type="io2", iops=500))),
        ("disk: {throughput_mib: 750}", Config(disk=Disk(throughput_mib=750))),
        (
            "disk: {size_gib: 8, iops: 4000, throughput_mib: 1000}",
            Config(disk=Disk(size_gib=8, iops=4_000, throughput_mib=1_000)),
        ),
        ("owner: 0123", Config(owner="0123")),
        ("owner: no", Config(owner="no")),
        ("packages: ['timm==1.0.9', polars]", Config(packages=("timm==1.0.9", "polars"))),
        ("kaggle: yes", Config(kaggle=True)),
        (
            "network: {allow_ssh_from: [203.0.113.7, 2001:db8::/64]}",
            Config(network=Network(allow_ssh_from=(ip_network("203.0.113.7"), ip_network("2001:db8::/64")))),
        ),
        (
            "network: {allow_ssh_from: [203.0.113.7/32, 203.0.113.7]}",
            Config(network=Network(allow_ssh_from=(ip_network("203.0.113.7"),))),
        ),
        (
            "instance_types: [g5.xlarge, g4dn.xlarge, g5.xlarge]",
            Config(instance_types=("g5.xlarge", "g4dn.xlarge")),
        ),
        ("sync: {exclude: ['*.zip', data/]}", Config(sync=Sync(exclude=("*.zip", "data/")))),
    ],
)
def test_what_is_written_is_what_is_read(content: str, config: Config) -> None:
    assert unplaced(parse(content.encode(), FILE)) == unplaced(config)


def test_paths_are_relative_to_the_file_and_a_tilde_is_the_home_folder(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("ssh: {key: ~/k}\nsync: {source: ../project, results: /abs}\n")
    config = load(file)
    assert config.ssh.key == Path.home() / "k"
    assert config.sync.source.resolve() == (tmp_path.parent / "project").resolve()
    assert config.sync.results == Path("/abs")
    assert config.path == file


def test_without_a_file_everything_is_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load()
    assert config.path is None
    assert config.sync.source == tmp_path
    assert config.ssh.key == Path.home() / ".ssh" / "gpu-box"
    assert unplaced(config) == unplaced(Config())


def test_the_config_of_the_present_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("name: found\n")
    assert load().name == "found"
    assert load(name="other").name == "other"


@pytest.mark.parametrize("name", ["", "a b", "-a", "a-", "a" * 33, "ä", "a/b", "a\n", "$(x)"])
def test_an_awkward_name_on_the_command_line_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is not a box name"):
        load(name=name)


def test_a_file_that_is_named_and_missing_or_unreadable_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError) as missing:
        load(tmp_path / "absent.yaml")
    assert str(missing.value) == (
        f"{tmp_path}/absent.yaml: no such file. `gpu-box init` writes a config.yaml."
    )
    with pytest.raises(InputError) as folder:
        load(tmp_path)
    assert str(folder.value) == f"{tmp_path}: cannot be read: Is a directory"


def test_a_path_that_no_file_can_have_is_one_line() -> None:
    with pytest.raises(InputError, match="cannot be read: embedded null byte"):
        load(Path("a\0b"))


def test_a_folder_that_was_removed_meanwhile_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(InputError) as caught:
        load()
    assert (
        str(caught.value)
        == "the current folder no longer exists. Change to an existing folder and run it again."
    )


def test_a_user_without_a_home_folder_gets_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a user id that has no name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    with pytest.raises(InputError) as caught:
        load()
    assert str(caught.value) == (
        "ssh.key: ~/.ssh/gpu-box begins with ~, but you have no home folder. "
        "Set HOME, or give a path that begins with /."
    )
    Path("config.yaml").write_text("ssh: {key: ./k}\n")
    assert load().ssh.key == tmp_path / "k"


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigError, match="larger than a config can be"):
        load(Path("/dev/zero"))


# --- any text at all -------------------------------------------------------------------------------

KEYS = [key for key in SCHEMA] + ["nonsense", "family", "after", "stop_at", "key", "<<"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=8,
)
YAML_WORDS = st.sampled_from(
    list(":-?[]{}&*!|>'\"%@`#,\t\n ~")
    + [": ", "- ", "\n  ", "---\n", "...\n", "name", "disk", "12", "<<", "\\u"]
)


def config_or_problems(content: bytes) -> None:
    try:
        assert isinstance(parse(content, FILE), Config)
    except ConfigError as error:
        for problem in error.problems:
            assert problem.isprintable(), problem
            assert len(problem) < 300, problem


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
@example(b"\r*")
@example(b"\r\n\xc2\x85\r,")
def test_no_text_gives_anything_but_a_config_or_its_problems(content: bytes) -> None:
    config_or_problems(content)


@given(st.lists(YAML_WORDS, max_size=30).map("".join))
@settings(max_examples=300)
def test_nor_does_any_heap_of_yaml_s_own_signs(content: str) -> None:
    config_or_problems(content.encode())


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_nor_does_any_valid_yaml(content: Any) -> None:
    config_or_problems(yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass"))


# --- the example, the schema and the types say the same ------------------------------------------


def keys_of_schema(schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, wanted in schema.items():
        if isinstance(wanted, Mapping):
            yield from keys_of_schema(wanted, f"{prefix}{key}.")
        else:
            yield prefix + key


def test_the_example_loads_to_exactly_the_defaults() -> None:
    assert unplaced(load(example_config())) == unplaced(Config())


def test_the_schema_has_exactly_the_fields_of_the_config() -> None:
    assert set(keys_of_schema(SCHEMA)) == set(keys_of_type(Config())) - {"path"}


@dataclass(frozen=True)
class Documented:
    """A key of the example: the comment above it, whether the key is itself in a comment, and its value."""

    comment: str
    commented: bool
    value: str


def documented() -> dict[str, Documented]:
    found: dict[str, Documented] = {}
    comment, section = "", ""
    for line in example_config().read_text().splitlines():
        match = re.fullmatch(r"(  )?(#?)([a-z_]+):(?: (\S.*))?", line)
        if match is None:
            comment = f"{comment} {line.strip(' #')}" if re.match(" *# [^-]", line) else ""
            continue
        indented, commented, key, value = match.groups()
        section = section if indented else f"{key}." if value is None else ""
        if value is not None:
            name = section + key if indented else key
            assert name not in found, f"{name} is there twice"
            found[name] = Documented(comment.strip(), bool(commented), value)
        comment = ""
    return found


def test_the_example_has_every_key_once() -> None:
    assert sorted(documented()) == sorted(keys_of_schema(SCHEMA))


@pytest.mark.parametrize("key", list(keys_of_schema(SCHEMA)))
def test_the_example_tells_each_key_s_default_and_an_example_that_is_right(key: str) -> None:
    key_doc = documented()[key]
    # A key that is not set says what happens then; one that is set shows its default as its value.
    assert key_doc.commented == ("Default: " in key_doc.comment), key_doc.comment
    words, _, shown = key_doc.comment.partition("Example: ")
    shown = shown.partition(" (")[0]  # a word of explanation may follow
    assert len(words) > 20 and shown, key_doc.comment
    section, _, leaf = key.rpartition(".")
    yaml_of = f"{leaf}: {shown}"
    beside = ", iops: 4000" if leaf == "throughput_mib" else ""
    config: Any = parse((f"{section}: {{{yaml_of}{beside}}}" if section else yaml_of).encode(), FILE)
    default: Any = parse(b"{}", FILE)
    for part in key.split("."):
        config, default = getattr(config, part), getattr(default, part)
    assert config != default, f"the example of {key} is its default"


def test_the_example_s_commented_keys_are_right_when_uncommented() -> None:
    text = re.sub(r"^( *)#([a-z_]+: )", r"\1\2", example_config().read_text(), flags=re.M)
    text = text.replace("zones: []", "zones: [us-east-1b]")
    config = parse(text.encode(), FILE)
    for key in keys_of_type(config):
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        assert value is not None, key


def unplaced(config: Config) -> Config:
    """Without values that depend on the file's place; paths and types have their defaults."""
    default = Config()
    sync = replace(config.sync, source=default.sync.source, results=default.sync.results)
    return replace(config, path=None, sync=sync, ssh=replace(config.ssh, key=default.ssh.key))


def keys_of_type(value: Any, prefix: str = "") -> Iterator[str]:
    for field in fields(value):
        inner = getattr(value, field.name)
        if field.name in ("cluster", "any_owner", "without_deadline", "run_for", "run_usd", "run_extended"):
            continue  # not from the file: set on members of a cluster, and by options
        if is_dataclass(inner):
            yield from keys_of_type(inner, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


@pytest.mark.parametrize(
    ("name", "cluster", "boxes"),
    [("ada-2", "ada", 2), ("ada-3", None, 2), ("ada-1", None, 2), ("eve", None, 2), ("eve-2", None, 2)],
)
def test_a_member_of_a_cluster_is_named_as_such(
    tmp_path: Path, name: str, cluster: str | None, boxes: int
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: ada\nboxes: 2\n")
    config = load(path, name=name)
    assert (config.name, config.cluster, config.boxes) == (name, cluster, boxes)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"key_{number}: x\n" for number in range(3000)),
        "instance_types: [" + ", ".join(f"q{number}" for number in range(6000)) + "]\n",
        "".join(f"k{number}: &a{number} 1\n" for number in range(2000)),
        "name: a\n" * 5000,
    ],
    ids=["unknown keys", "unknown types", "anchors", "the same key"],
)
@pytest.mark.timeout(60)
def test_of_many_problems_the_first_twenty_are_named(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text.encode(), Path("config.yaml"))
    assert len(refused.value.problems) == 21
    assert refused.value.problems[-1] == "there are more problems; correct these first"
    assert "line 1" in refused.value.problems[0] or "line 2" in refused.value.problems[0]
