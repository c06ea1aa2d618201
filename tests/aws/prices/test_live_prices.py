"""Today's prices if AWS can be asked, else a dated table; the output says which."""

from __future__ import annotations

import json
import multiprocessing
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gpu_box.aws.prices.prices import price_of, read_price, snapshot_gib_month
from gpu_box.box import status
from gpu_box.box.preview import preview
from gpu_box.config.model import Config, Disk
from gpu_box.store.prices import PriceCache

from ..conftest import Laptop, Weather

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DENIED = {"service": "pricing", "operation": "*", "code": "AccessDeniedException", "times": 0}


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_prices_are_those_of_the_region_today(laptop: Callable[..., Laptop]) -> None:
    at_home = read_price(laptop().cloud, "g4dn.xlarge")
    assert at_home.source == "live, today"
    assert at_home.hour == price_of("g4dn.xlarge", "us-east-1", Disk()).hour
    abroad = read_price(laptop(region="eu-west-2").cloud, "g4dn.xlarge")
    assert abroad.source == "live, today"
    assert abroad.instance_hour == Decimal("0.526") * Decimal("1.2")
    assert abroad.disk_month == Decimal("9.6")


@pytest.mark.parametrize(
    "disk",
    [
        Disk(size_gib=100, type="gp2"),
        Disk(size_gib=100, iops=6_000, throughput_mib=500),
        Disk(size_gib=100, type="io2", iops=70_000),
    ],
)
def test_a_faster_disk_costs_live_what_the_table_says(laptop: Callable[..., Laptop], disk: Disk) -> None:
    live = read_price(laptop(disk=disk).cloud, "g5.xlarge")
    assert live.source == "live, today"
    assert live.disk_month == price_of("g5.xlarge", "us-east-1", disk).disk_month


def test_a_snapshot_s_price_is_the_region_s(laptop: Callable[..., Laptop]) -> None:
    assert snapshot_gib_month(laptop().cloud) == Decimal("0.05")
    assert snapshot_gib_month(laptop(region="eu-west-2").cloud) == Decimal("0.06")


def test_a_type_that_the_table_lacks_has_a_live_price(laptop: Callable[..., Laptop]) -> None:
    assert price_of("c5.xlarge", "us-east-1", Disk()).hour is None
    assert read_price(laptop().cloud, "c5.xlarge").instance_hour == Decimal("0.17")


def test_without_the_permission_the_table_is_used_and_named(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    weather(faults=[DENIED])
    price = read_price(laptop(region="eu-west-2").cloud, "g4dn.xlarge")
    assert price == price_of("g4dn.xlarge", "eu-west-2", Disk())
    assert price.source.startswith("us-east-1 table of 20")


def test_a_refusal_is_not_asked_for_again_at_once(laptop: Callable[..., Laptop], weather: Weather) -> None:
    weather(faults=[DENIED])
    read_price(laptop().cloud, "g4dn.xlarge")
    weather(faults=[])
    assert "table" in read_price(laptop().cloud, "g4dn.xlarge").source


def test_what_is_known_is_not_asked_for(laptop: Callable[..., Laptop], weather: Weather) -> None:
    first = read_price(laptop().cloud, "g4dn.xlarge")
    weather(faults=[DENIED])
    assert read_price(laptop().cloud, "g4dn.xlarge") == first


def test_no_answer_delays_nothing(laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch) -> None:
    mine = laptop()
    # RFC 5737's addresses are not routed: a connection is neither accepted nor refused.
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", "http://192.0.2.1:81")
    asked: list[str] = []
    connect = socket.socket.connect

    def noting(self: socket.socket, address: Any) -> None:
        asked.append(address[0])
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noting)
    started = time.monotonic()
    assert "table" in read_price(mine.cloud, "g4dn.xlarge").source
    assert time.monotonic() - started < 20, "the client's own limits are 2 s and 4 s"
    assert "192.0.2.1" in asked
    asked.clear()
    assert "table" in read_price(mine.cloud, "g4dn.xlarge").source
    assert "192.0.2.1" not in asked, "no second wait"


def test_a_spot_price_is_the_cheapest_zone_s_and_says_what_it_saves(laptop: Callable[..., Laptop]) -> None:
    cloud = laptop().cloud
    anywhere = read_price(cloud, "g4dn.xlarge", market="spot")
    one = read_price(cloud, "g4dn.xlarge", market="spot", zones=["us-east-1c"])
    assert anywhere.instance_hour is not None and one.instance_hour is not None
    assert anywhere.on_demand_hour == Decimal("0.526")
    assert anywhere.instance_hour <= one.instance_hour < Decimal("0.526")
    assert one.source == "spot in us-east-1c: live, today; the rest: live, today"


def test_without_the_permission_a_spot_price_is_an_upper_limit(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    weather(faults=[{"operation": "DescribeSpotPriceHistory", "code": "UnauthorizedOperation", "times": 0}])
    price = read_price(laptop().cloud, "g4dn.xlarge", market="spot")
    assert price.instance_hour == Decimal("0.526")
    assert price.source == "live, today; spot price unknown, at most this"


def test_one_cloud_s_prices_are_not_another_s() -> None:
    PriceCache("127.0.0.1:4000", "us-east-1").write("x", {"a": "1"}, now=NOW)
    for other in (
        PriceCache("ec2.us-east-1.amazonaws.com", "us-east-1"),
        PriceCache("127.0.0.1:4000", "eu-west-1"),
    ):
        assert other.read("x", now=NOW, longest=DAY) is None


def test_what_is_too_old_is_not_known() -> None:
    cache = PriceCache("aws", "us-east-1")
    cache.write("x", {"a": "1"}, now=NOW)
    assert cache.read("x", now=NOW + DAY, longest=DAY) == ({"a": "1"}, NOW)
    assert cache.read("x", now=NOW + DAY + timedelta(seconds=1), longest=DAY) is None
    assert cache.read("x", now=NOW - timedelta(hours=1), longest=DAY) is None, "from a clock that was ahead"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"value": 1}', '{"value": 1, "asked": "soon"}', "\0"])
def test_a_broken_file_is_as_good_as_none(content: str) -> None:
    cache = PriceCache("aws", "us-east-1")
    cache.write("x", {"a": "1"}, now=NOW)
    (cache.folder / "x.json").write_text(content)
    assert cache.read("x", now=NOW, longest=DAY) is None
    cache.write("x", {"a": "2"}, now=NOW)
    assert cache.read("x", now=NOW, longest=DAY) == ({"a": "2"}, NOW)


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(
    laptop: Callable[..., Laptop], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert read_price(laptop().cloud, "g4dn.xlarge").source == "live, today"


def test_processes_that_write_at_once_leave_whole_files() -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_often, args=(n,)) for n in range(3)]
    for writer in writers:
        writer.start()
    cache = PriceCache("aws", "us-east-1")
    file = cache.folder / "x.json"
    while any(writer.is_alive() for writer in writers):
        if file.exists():
            written = json.loads(file.read_text())["value"]
            assert len(set(written)) == 1, "one writer's words, all of them"
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert [path.name for path in cache.folder.iterdir()] == ["x.json"]


def _write_often(number: int) -> None:
    for _ in range(200):
        PriceCache("aws", "us-east-1").write("x", [number] * 5_000, now=NOW)


def test_a_default_config_has_a_price(laptop: Callable[..., Laptop]) -> None:
    assert read_price(laptop().cloud, Config().instance_types[0]).hour is not None


def test_plan_and_status_and_the_price_itself_agree(laptop: Callable[..., Laptop]) -> None:
    mine = laptop(region="eu-west-2")
    planned = preview(mine.cloud)
    mine.up()
    mine.stop()
    view = status.status(mine.cloud)
    price = read_price(mine.cloud, "g4dn.xlarge")
    assert planned.usd_hour == view.usd_hour == price.hour
    assert planned.usd_month_stopped == view.usd_month_stopped == price.disk_month
    assert planned.prices == "live, today"
