"""Files that gpu-box keeps on this laptop: garbage, from another version, or planted by an attacker."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import botocore.session
import pytest

from gpu_box.aws import slim_sdk
from gpu_box.aws.prices.prices import _are_rates
from gpu_box.box import names
from gpu_box.cli import known_names
from gpu_box.errors import GpuBoxError, InputError
from gpu_box.files import read_own, write_whole
from gpu_box.machine.files.transfer import local_disk_full
from gpu_box.machine.ssh import ssh_config
from gpu_box.model.machine import Host
from gpu_box.model.observed import ANYTHING, NOTHING, Expected
from gpu_box.store import last_project, last_seen, ledger, timings
from gpu_box.store.files import data_home
from gpu_box.store.prices import PriceCache

from .. import needs

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGk8BkSpw0uA1RIMbPYqEBpCAxgF4S4pNhjKXw8aZ8mJ"
NOW = datetime(2026, 11, 29, tzinfo=UTC)
CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "no UTF-8": b"\xff\xfe\x00",
    "NUL": b"\0" * 100,
    "nested deep": b"[" * 100_000,
    "objects nested deep": b'{"a":' * 100_000,
    "a list": b"[1, 2]",
    "a number": b"3",
    "null": b"null",
    "of another version": b'{"version": 9, "value": [], "asked": "2026-11-29T00:00:00+00:00"}',
    "infinite": b'[{"steps": [["a", Infinity]], "s": NaN}]',
    "amounts without end": b'{"i-1": {"2026-11-01": "1e999999", "2026-11-02": "NaN", "0001-01-01": "-5"}}',
    "a year without end": b'{"i-1": {"99999-01-01": "1"}}',
    "no zone": b'{"value": {}, "asked": "2026-11-29T00:00:00"}',
    "a path without end": b"/" + b"x" * 100_000,
    "HTML": b"<html>",
}


def as_folder(path: Path) -> None:
    path.mkdir()


def as_fifo(path: Path) -> None:
    os.mkfifo(path)


def as_link(path: Path) -> None:
    """To a file that a neighbour writes."""
    target = path.with_name("elsewhere")
    target.write_text('{"state": "stopped", "instance_id": "i-1", "role_arn": "x"}')
    path.symlink_to(target)


def as_foreign(path: Path) -> None:
    path.write_text('{"state": "stopped", "instance_id": "i-1", "role_arn": "x"}')
    os.chown(path, 1, 1)


def containing(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


KINDS: dict[str, Callable[[Path], None]] = {
    **{name: containing(content) for name, content in CONTENTS.items()},
    "a folder": as_folder,
    "a fifo": as_fifo,
    "a link": as_link,
    "another user's": as_foreign,
}


@pytest.fixture(params=KINDS)
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "another user's" and os.geteuid() != 0:
        pytest.skip("needs root: it gives a file away")
    path = tmp_path / "file.json"
    KINDS[request.param](path)
    return path


def test_a_damaged_memory_is_as_good_as_none(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is made anew where a file can be."""
    assert last_seen.read(damaged) == ANYTHING
    assert ledger.gone(damaged, []) == {}
    assert timings.read(damaged) == ()
    assert names._read(damaged) == {}
    assert not damaged.is_file() or damaged.is_symlink() or last_project.other(damaged, Path("/x")) is None
    folder = damaged.with_name("prices")
    monkeypatch.setattr(PriceCache, "folder", folder)
    folder.mkdir()
    damaged.rename(folder / "key.json")
    cache = PriceCache("cloud", "region")
    known = cache.read("key", now=NOW, longest=timedelta(days=1))
    assert known is None or not _are_rates(known[0])
    cache.write("key", {"a": "1"}, now=NOW)
    if not (folder / "key.json").is_dir():
        assert cache.read("key", now=NOW, longest=timedelta(days=1)) == ({"a": "1"}, NOW)


@pytest.mark.parametrize("kind", ["a link", "another user's", "a fifo"])
def test_the_tab_key_offers_nothing_of_a_neighbour_s(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "another user's" and os.geteuid() != 0:
        pytest.skip("needs root: it gives a file away")
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path))
    known_names.note(["ada"], config=None, read=None)
    assert known_names._fresh(None) == ["ada"]
    tab = tmp_path / "tab.json"
    if kind == "another user's":
        os.chown(tab, 1, 1)
    else:
        tab.rename(tmp_path / "theirs")
        tab.symlink_to(tmp_path / "theirs") if kind == "a link" else os.mkfifo(tab)
    assert known_names._fresh(None) == []


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    expected = Expected(state="stopped", instance_id="i-1", role_arn="arn")
    last_seen.note(path, expected)
    assert last_seen.read(path) == expected
    last_seen.note(path, NOTHING)
    assert last_seen.read(path) == NOTHING
    ledger.note(path, "i-1", {date(2026, 11, 29): Decimal("1.5")}, today=date(2026, 11, 29))
    assert ledger.gone(path, []) == {date(2026, 11, 29): Decimal("1.5")}


def host(**changed: object) -> Host:
    usual = {
        "name": "box", "address": "192.0.2.1", "port": 22, "user": "ubuntu", "key": Path("/k"),
        "host_keys": (KEY,),
    }  # fmt: skip
    return Host(**{**usual, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".conf", ".known_hosts"])
def test_a_damaged_ssh_file_is_written_anew_or_named(damaged: Path, suffix: str) -> None:
    folder = data_home() / "ssh"
    folder.mkdir(parents=True)
    place = folder / f"box{suffix}"
    damaged.rename(place)
    if damaged.with_name("elsewhere").exists():
        pytest.skip("a link of the user's own is followed: dotfiles are linked")
    assert ssh_config.last_private_files("box") is None
    try:
        ssh_config.private_config(host())
        assert KEY in (folder / "box.known_hosts").read_text()
    except InputError as error:
        assert place.is_dir() or place.is_fifo()
        assert str(place.parent) in str(error) and "\n" not in str(error)
    ssh_config.forget_address("box")
    ssh_config.remove("box")


INJECTED = "1.2.3.4\n    ProxyCommand touch pwned"


@pytest.mark.parametrize(
    "changed",
    [
        {"address": INJECTED},
        {"address": "fe80::1%\nProxyCommand x"},
        {"address": "-oProxyCommand=x"},
        {"address": ""},
        {"user": "ubuntu\nProxyCommand x"},
        {"name": "box\nProxyCommand x"},
        {"key": Path("/k\nProxyCommand x")},
        {"key": Path('/k"\nProxyCommand x')},
        {"host_keys": (f"{KEY}\n* {KEY}",)},
        {"host_keys": ("garbage",)},
    ],
)
def test_nothing_that_aws_or_a_config_says_becomes_an_option_of_ssh(changed: dict[str, object]) -> None:
    with pytest.raises(GpuBoxError) as refused:
        ssh_config.private_config(host(**changed))
    assert "\n" not in str(refused.value)
    assert not list(data_home().rglob("*.conf"))


@pytest.mark.parametrize("mask", [0o000, 0o002])
def test_our_folders_are_for_this_user_alone_whatever_the_umask_is(mask: int) -> None:
    before = os.umask(mask)
    try:
        write_whole(data_home() / "last-seen" / "cloud" / "box.json", "{}")
        ssh_config.write(host())
    finally:
        os.umask(before)
    folders = [data_home(), *(p for p in data_home().rglob("*") if p.is_dir()), Path.home() / ".ssh",
               Path.home() / ".ssh/gpu-box.d"]  # fmt: skip
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_a_folder_of_ours_that_others_could_enter_is_closed() -> None:
    data_home().mkdir(parents=True)
    data_home().chmod(0o777)
    data_home()
    assert stat.S_IMODE(data_home().stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it gives a folder away")
def test_a_folder_of_a_neighbour_in_the_place_of_ours_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted").mkdir()
    os.chown(tmp_path / "planted", 1, 1)
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "planted"))
    with pytest.raises(InputError, match="planted: this folder belongs to another user. Remove it"):
        data_home()
    (tmp_path / "planted/link").symlink_to(tmp_path)
    os.lchown(tmp_path / "planted/link", 1, 1)
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "planted/link"))
    with pytest.raises(InputError, match="belongs to another user"):
        data_home()
    (tmp_path / "link").symlink_to(tmp_path / "planted")  # our own, to a neighbour's folder
    monkeypatch.setenv("GPU_BOX_HOME", str(tmp_path / "link"))
    with pytest.raises(InputError, match="belongs to another user"):
        data_home()


@needs.root
def test_a_cache_of_a_neighbour_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    prices = PriceCache("aws", "us-east-1")
    prices.write("instance", {"a": "1"}, now=NOW)
    assert prices.read("instance", now=NOW, longest=timedelta(days=1))
    os.chown(tmp_path / "gpu-box", 1, 1)
    assert prices.read("instance", now=NOW, longest=timedelta(days=1)) is None
    prices.write("instance", {"a": "2"}, now=NOW)
    session = botocore.session.get_session()
    slim_sdk.use_small_model(session)
    assert "gpu-box" not in str(session.get_config_variable("data_path"))


def test_what_is_read_of_ours_has_a_limit(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError):
        read_own(tmp_path / "large")
    with pytest.raises(OSError):
        read_own(Path("/dev/zero"))


def test_a_full_disk_here_does_not_blame_the_box(tmp_path: Path) -> None:
    said = str(local_disk_full(OSError(28, "x"), tmp_path))
    assert said.startswith(f"{tmp_path}: this disk is full: No space left on device. Make room")
    assert local_disk_full(OSError(13, "x"), tmp_path) is None
