"""`doctor` on a first day: it names each usual failure outside the box, with its remedy.

Permissions, quota and the key are in test_doctor.py, the box in test_box_health.py.
"""

from __future__ import annotations

import http.server
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gpu_box.aws.client import Cloud
from gpu_box.aws.observe import observe
from gpu_box.box import doctor
from gpu_box.config.model import Network
from gpu_box.model.check import Check

from .. import needs
from ..aws.company import Company, company
from ..aws.conftest import Laptop, Owner, Weather


def checks_of(mine: Laptop) -> dict[str, Check]:
    return {check.name: check for check in doctor.examine(Cloud(mine.config))}


def test_no_default_subnet(laptop: Callable[..., Laptop], owner: Owner) -> None:
    far = laptop(region="sa-east-1")
    for subnet in far.cloud.ec2.describe_subnets()["Subnets"]:
        owner("ec2", far.config.region).delete_subnet(SubnetId=subnet["SubnetId"])
    check = checks_of(far)["launch"]
    assert not check.ok
    assert check.line == "your account has no default subnet in sa-east-1"
    # AWS refuses a second default VPC: DefaultVpcAlreadyExists.
    assert "aws ec2 create-default-subnet --availability-zone sa-east-1a" in check.remedy
    assert "without a default VPC `aws ec2 create-default-vpc`" in check.remedy


def test_a_region_that_the_account_has_not_enabled_is_not_taken_for_wrong_keys(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    weather(regions=["us-east-1", "eu-central-2"])
    far = laptop(region="eu-central-2")
    far.observe()
    weather(regions=["us-east-1"])
    checks = checks_of(far)
    assert "credentials" not in checks
    assert checks["region"].line.startswith("eu-central-2 is not enabled for your account (arn:aws:")
    assert "aws account enable-region --region-name eu-central-2" in checks["region"].remedy
    weather(regions=["us-east-1", "eu-central-2"])  # for the removal


def test_keys_that_are_wrong_everywhere_are_not_taken_for_a_wrong_region(
    laptop: Callable[..., Laptop], weather: Weather
) -> None:
    weather(faults=[{"service": "sts", "operation": "*", "code": "InvalidClientTokenId", "times": 0}])
    checks = checks_of(laptop(region="eu-west-1"))
    assert "region" not in checks
    assert not checks["credentials"].ok


@pytest.fixture
def behind(
    laptop: Callable[..., Laptop], aws: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Company, Callable[..., Laptop]]]:
    """A company's proxy; `behind()` is laptop(), which reaches AWS through the proxy only."""
    with company(aws["AWS_ENDPOINT_URL"], tmp_path) as proxy, monkeypatch.context() as environment:

        def make(**settings: object) -> Laptop:
            environment.delenv("AWS_ENDPOINT_URL", raising=False)
            environment.delenv("GPU_BOX_CHECKIP_URL", raising=False)
            environment.setenv("HTTPS_PROXY", proxy.address)
            environment.delenv("NO_PROXY", raising=False)
            environment.delenv("no_proxy", raising=False)
            environment.delenv("https_proxy", raising=False)
            return Laptop(laptop(**settings).config)

        yield proxy, make


def test_a_proxy_that_signs_by_itself_wants_its_certificates(
    behind: tuple[Company, Callable[..., Laptop]], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, make = behind
    mine = make(network=Network())
    checks = checks_of(mine)
    assert "a company proxy probably intercepts TLS" in checks["credentials"].line
    assert "AWS_CA_BUNDLE" in checks["credentials"].remedy
    assert not checks["address"].ok

    with monkeypatch.context() as environment:
        environment.setenv("AWS_CA_BUNDLE", str(proxy.certificates))
        checks = checks_of(mine)
        assert [
            check for check in checks.values() if not check.ok and check.name not in ("ssh", "rsync")
        ] == []
        assert checks["address"].line == "port 22 allows only 127.0.0.1/32"

        environment.setenv("AWS_CA_BUNDLE", str(proxy.certificates.with_name("absent.pem")))
        check = checks_of(mine)["credentials"]
        assert not check.ok
        assert "absent.pem" in check.line


def test_certificates_are_read_once_and_not_for_each_connection(
    behind: tuple[Company, Callable[..., Laptop]], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, make = behind
    read: list[tuple[ssl.SSLContext, str]] = []
    load = ssl.SSLContext.load_verify_locations

    def noted(self: ssl.SSLContext, bundle: str) -> None:
        read.append((self, bundle))
        load(self, bundle)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", noted)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(proxy.certificates))
    observe(Cloud(make().config), need="status")
    assert {bundle for _, bundle in read} == {str(proxy.certificates)}
    contexts = {
        id(context) for context, _ in read
    }  # one for each client: EC2, Scheduler, those of second tries
    assert len(contexts) == len(read)


@pytest.mark.parametrize(
    ("status", "line", "remedy"),
    [
        (407, "refuses (407 Proxy Authentication Required)", "HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT"),
        (403, "refuses (403 Forbidden)", "HTTPS_PROXY sets it"),
    ],
)
def test_a_proxy_that_refuses_is_named(
    behind: tuple[Company, Callable[..., Laptop]], status: int, line: str, remedy: str
) -> None:
    proxy, make = behind
    proxy.refuses = status
    check = checks_of(make())["credentials"]
    assert check.line == f"reading your identity: the proxy {proxy.address} {line}"
    assert remedy in check.remedy


def test_a_proxy_that_is_not_there_is_named_without_its_password(
    behind: tuple[Company, Callable[..., Laptop]], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = behind[1]()
    # Undone before `behind` undoes its own change: otherwise the proxy would stay for the next tests.
    with socket.socket() as unused, monkeypatch.context() as environment:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        environment.setenv("HTTPS_PROXY", f"http://ada:secret@127.0.0.1:{port}")
        check = checks_of(mine)["credentials"]
    assert check.line.endswith(f"@127.0.0.1:{port} does not answer")
    assert "secret" not in check.line
    assert "HTTPS_PROXY" in check.remedy


@pytest.mark.parametrize(("hours", "word"), [(2, "behind"), (-2, "ahead of")])
def test_a_clock_that_is_wrong_shows_by_the_date_of_aws_s_answer(
    behind: tuple[Company, Callable[..., Laptop]], monkeypatch: pytest.MonkeyPatch, hours: int, word: str
) -> None:
    proxy, make = behind
    proxy.clock_off = timedelta(hours=hours)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(proxy.certificates))
    check = checks_of(make())["clock"]
    assert not check.ok
    assert f" {word} AWS's" in check.line
    assert "timedatectl set-ntp true" in check.remedy


@pytest.fixture
def seen_as(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`seen_as("2001:db8::7")`: the address that AWS's service will return."""
    address = ""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"{address}\n".encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def tell(given: str) -> None:
            nonlocal address
            address = given
            monkeypatch.setenv("GPU_BOX_CHECKIP_URL", f"http://127.0.0.1:{server.server_port}")

        yield tell
        server.shutdown()


def test_an_address_of_ipv6_reaches_no_box(
    laptop: Callable[..., Laptop], seen_as: Callable[[str], None]
) -> None:
    seen_as("2001:db8::7")
    check = checks_of(laptop(network=Network()))["address"]
    assert not check.ok
    assert check.line == "this computer has only IPv6 (2001:db8::7/128), and a box has an IPv4 address"
    assert "IPv4" in check.remedy


_NETWORKS = """
import sys
from gpu_box.aws.my_address import check_address
from gpu_box.config.model import Config
print(check_address(Config()).line)
"""


@needs.programs("unshare", "ip")
def test_without_a_way_to_ipv4_it_is_the_network_and_not_aws_s_service() -> None:
    """In a network namespace of its own, with IPv6 only, which ends with the process."""
    alone = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to make a network namespace")
    ipv6 = "ip link set lo up; ip -6 addr add 2001:db8::2/64 dev lo; ip -6 route add default dev lo"
    done = subprocess.run(
        [*alone, f'{ipv6} 2>/dev/null; exec "$0" -c "$1"', sys.executable, _NETWORKS],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "this computer has only IPv6, and a box has an IPv4 address\n", done.stderr
