"""The embedded cloud admits its owner only: no other user of this computer, and no web page."""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.compat import HAS_CRT
from botocore.config import Config
from testbed import control
from testbed.cloud import Cloud, KeyFile
from testbed.ssh import reach

from local_aws import daemon
from local_aws.credentials import Credentials, account
from local_aws.failure import Failure
from local_aws.files import Files, make_private, read_private
from tests.paths import POLICY

from .errors import refused
from .test_aws_cli import AWS

SERVICES: list[tuple[str, Callable[[Any], Any]]] = [
    ("ec2", lambda ec2: ec2.describe_instances()),
    ("iam", lambda iam: iam.list_roles()),
    ("sts", lambda sts: sts.get_caller_identity()),
    ("ssm", lambda ssm: ssm.describe_parameters()),
    ("scheduler", lambda scheduler: scheduler.list_schedules()),
]


ONCE = Config(retries={"total_max_attempts": 1})


def client(cloud: Cloud, service: str, key_id: str, secret: str, token: str | None = None) -> Any:
    return boto3.client(
        service, region_name="us-east-1", endpoint_url=cloud.endpoint, aws_access_key_id=key_id,
        aws_secret_access_key=secret, aws_session_token=token, config=ONCE,
    )  # fmt: skip


def owner(cloud: Cloud) -> Credentials:
    return account(Files(cloud.home)).owner


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("ec2", "AuthFailure", 401),
        ("iam", "SignatureDoesNotMatch", 403),
        ("sts", "SignatureDoesNotMatch", 403),
        ("ssm", "InvalidSignatureException", 400),
        ("scheduler", "InvalidSignatureException", 403),
    ],
)
def test_a_known_key_with_another_secret_is_refused(
    cloud: Cloud, service: str, code: str, status: int
) -> None:
    wrong = client(cloud, service, owner(cloud).key_id, "guessed")
    with refused(code, status=status):
        dict(SERVICES)[service](wrong)


@pytest.mark.skipif(not AWS.exists(), reason="no aws here: it comes with the development group")
def test_the_aws_command_with_another_secret_hears_what_aws_says(cloud: Cloud) -> None:
    wrong = {**os.environ, **cloud.exports, "AWS_SECRET_ACCESS_KEY": "guessed"}
    words = [str(AWS), "sts", "get-caller-identity"]
    done = subprocess.run(words, env=wrong, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "(SignatureDoesNotMatch)" in done.stderr
    right = subprocess.run(words, env={**wrong, **cloud.exports}, capture_output=True, text=True, timeout=60)
    assert right.returncode == 0, right.stderr


@pytest.mark.parametrize(
    ("service", "code", "status", "saying"),
    [
        ("ec2", "RequestExpired", 400, "Request has expired"),
        ("sts", "SignatureDoesNotMatch", 403, "Signature expired: "),
        ("ssm", "InvalidSignatureException", 400, " - 15 min.)"),
    ],
)
def test_a_request_of_a_quarter_of_an_hour_ago_is_not_answered(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, service: str, code: str, status: int, saying: str
) -> None:
    _sign_as_of(timedelta(minutes=16), monkeypatch)
    with refused(code, status=status, saying=saying):
        dict(SERVICES)[service](client(cloud, service, owner(cloud).key_id, owner(cloud).secret))


def test_a_request_is_answered_only_as_it_was_signed(cloud: Cloud) -> None:
    """An observer of one request cannot make another from it."""
    url = f"{cloud.endpoint}/"
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    form = "application/x-www-form-urlencoded"
    headers = control.signed("POST", url, body, owner(cloud), service="sts", content_type=form)
    assert control.send("POST", url, body, headers)[0] == 200
    for other in (
        ("POST", url, b"Action=AssumeRole&Version=2011-06-15", headers),
        ("POST", f"{url}?Action=AssumeRole", body, headers),
        ("PUT", url, body, headers),
        ("POST", url, body, {**headers, "X-Amz-Target": "AWSScheduler.CreateSchedule"}),
    ):
        assert control.send(*other)[0] in (400, 403)


def test_a_presigned_request_is_answered_until_it_expires(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    sts = client(cloud, "sts", owner(cloud).key_id, owner(cloud).secret)
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=3600, HttpMethod="GET")
    assert b"<Account>" in control.send("GET", url)[1]
    assert control.send("GET", url.replace("GetCallerIdentity", "GetSessionToken"))[0] == 403
    _sign_as_of(timedelta(hours=2), monkeypatch)
    late = sts.generate_presigned_url("get_caller_identity", ExpiresIn=3600, HttpMethod="GET")
    assert b"Signature expired" in control.send("GET", late)[1]


def test_an_unsigned_request_is_not_answered(cloud: Cloud) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, said = control.send("POST", f"{cloud.endpoint}/", b"Action=DescribeInstances", form)
    assert (status, b"<Code>MissingAuthenticationToken</Code>" in said) == (403, True)
    target = {"X-Amz-Target": "AmazonSSM.GetParameter", "Content-Type": "application/x-amz-json-1.1"}
    status, said = control.send("POST", f"{cloud.endpoint}/", b"{}", target)
    assert (status, json.loads(said)["__type"]) == (400, "MissingAuthenticationTokenException")


def test_temporary_credentials_need_their_token(cloud: Cloud) -> None:
    made = cloud.client("sts").assume_role(
        RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="session", DurationSeconds=900
    )["Credentials"]
    pair = made["AccessKeyId"], made["SecretAccessKey"]
    client(cloud, "sts", *pair, made["SessionToken"]).get_caller_identity()
    for token in (None, "guessed"):
        with refused("InvalidClientTokenId", status=403):
            client(cloud, "sts", *pair, token).get_caller_identity()
        with refused("AuthFailure", status=401):
            client(cloud, "ec2", *pair, token).describe_instances()


def test_a_deactivated_key_opens_nothing(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    iam.create_user(UserName="ada")
    pair = iam.create_access_key(UserName="ada")["AccessKey"]
    sts = client(cloud, "sts", pair["AccessKeyId"], pair["SecretAccessKey"])
    sts.get_caller_identity()
    iam.update_access_key(UserName="ada", AccessKeyId=pair["AccessKeyId"], Status="Inactive")
    with refused("InvalidClientTokenId", status=403):
        sts.get_caller_identity()


MOTO = [
    "",
    "data.json",
    "reset",
    "config",
    "seed?a=1",
    "recorder/download-recording",
    "recorder/start-recording",
]


@pytest.mark.parametrize("path", [f"/moto-api/{word}" for word in MOTO] + ["/moto-api", "/favicon.ico"])
def test_nothing_of_moto_s_own_api_is_served(cloud: Cloud, path: str) -> None:
    """moto's recorder would show requests, and their keys; its reset destroys the cloud."""
    cloud.run()
    url = cloud.endpoint + path
    for method in ("GET", "POST"):
        assert control.send(method, url)[0] == 403
        for service in ("ec2", "gpu-box", "moto_api", "motoapi"):
            by_owner = control.signed(method, url, b"", owner(cloud), service=service)
            assert control.send(method, url, headers=by_owner)[0] >= 400
    assert len(cloud.ec2.describe_instances()["Reservations"]) == 1


@pytest.mark.parametrize(
    "path", ["/latest/meta-data/", "/latest/api/token", "/latest/meta-data/iam/security-credentials/"]
)
def test_moto_s_own_metadata_are_not_served(cloud: Cloud, path: str) -> None:
    url = cloud.endpoint + path
    assert control.send("GET", url)[0] == 403
    assert (
        control.send("GET", url, headers=control.signed("GET", url, b"", owner(cloud), service="ec2"))[0]
        == 400
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/embedded/status"),
        ("GET", "/embedded/weather"),
        ("POST", "/embedded/weather"),
        ("DELETE", "/embedded/weather"),
        ("DELETE", "/embedded/world"),
        ("POST", "/embedded/interrupt"),
        ("POST", "/embedded/network"),
        ("GET", "/embedded/none"),
    ],
)
def test_the_cloud_itself_is_changed_by_its_owner_alone(cloud: Cloud, method: str, path: str) -> None:
    url = cloud.endpoint + path
    own = account(Files(cloud.home))
    assert control.send(method, url, b"{}")[0] == 403
    for key in (Credentials(own.owner.key_id, "guessed"), own.operator):
        assert control.send(method, url, b"{}", control.signed(method, url, b"{}", key))[0] == 403
    for_aws = control.signed(method, url, b"{}", own.owner, service="ec2")
    assert control.send(method, url, b"{}", for_aws)[0] == 403


def test_a_call_of_the_cloud_s_own_cannot_be_repeated_later(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{cloud.endpoint}/embedded/status"
    _sign_as_of(timedelta(minutes=14), monkeypatch)
    assert control.send("GET", url, headers=control.signed("GET", url, b"", owner(cloud)))[0] == 200
    _sign_as_of(timedelta(minutes=16), monkeypatch)
    assert control.send("GET", url, headers=control.signed("GET", url, b"", owner(cloud)))[0] == 403


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8888"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "evil.example:80@127.0.0.1"},
        {"Host": "localhost.evil.example:4566"},
        {"Host": ""},
    ],
    ids=str,
)
def test_a_web_page_is_not_answered(cloud: Cloud, header: dict[str, str]) -> None:
    for path in ("/checkip", "/embedded/status", "/"):
        url = cloud.endpoint + path
        by_owner = control.signed("GET", url, b"", owner(cloud))
        assert control.send("GET", url, headers={**by_owner, **header})[0] == 403


def test_loopback_has_several_names(cloud: Cloud) -> None:
    port = cloud.endpoint.rpartition(":")[2]
    for host in ("127.0.0.1", f"localhost:{port}", f"[::1]:{port}", f"LOCALHOST:{port}"):
        assert control.send("GET", f"{cloud.endpoint}/checkip", headers={"Host": host})[0] == 200


@contextmanager
def slow(cloud: Cloud, sent: str) -> Iterator[socket.socket]:
    port = int(cloud.endpoint.rpartition(":")[2])
    with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connection:
        connection.sendall(sent.replace("\n", "\r\n").encode())
        yield connection


SLOW = {
    "no request": "",
    "half a header": "GET / HTTP/1.1\nHost: 127",
    "body of the cloud's own": "POST /embedded/weather HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 999\n\n{",
    "body of a call": "POST / HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 999\n\nAction=",
    "chunks without an end": "POST / HTTP/1.1\nHost: 127.0.0.1\nTransfer-Encoding: chunked\n\n1\na\n",
}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
def test_slow_clients_hold_up_no_other(cloud: Cloud, sent: str) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(slow(cloud, sent))
        began = time.monotonic()
        for _ in range(3):
            cloud.ec2.describe_instances()
        assert cloud.http("GET", "/embedded/status")[0] == 200
        assert time.monotonic() - began < 10, "half of what a request may take to arrive"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Content-Length: 999999999999", 413),
        ("Content-Length: 1048577", 413),
        ("Content-Length: -1", 400),
        ("Content-Length: many", 400),
        ("Content-Length: ١", 400),
        ("Transfer-Encoding: chunked", 411),
        ("Content-Length: 5\nTransfer-Encoding: chunked", 411),
    ],
)
def test_a_body_without_an_honest_length_is_refused_at_once(cloud: Cloud, head: str, status: int) -> None:
    with slow(cloud, f"POST / HTTP/1.1\nHost: 127.0.0.1\n{head}\n\n") as connection:
        assert connection.recv(12) == f"HTTP/1.1 {status}".encode()


def test_a_body_that_ends_early_is_refused(cloud: Cloud) -> None:
    with slow(cloud, "POST / HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 10\n\nabc") as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(12) == b"HTTP/1.1 400"


def test_only_the_machine_reads_its_metadata(cloud: Cloud, key: KeyFile) -> None:
    """Any user can connect to the port; only the machine's environment has the path."""
    instance = cloud.run_with_machine(key)
    endpoint = reach(cloud, instance, key).says("echo $AWS_EC2_METADATA_SERVICE_ENDPOINT")
    bare = "/".join(endpoint.split("/")[:3])
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    assert control.send("PUT", f"{endpoint}/latest/api/token", headers=ttl)[0] == 200
    for guess in ("", "/x", "/" + 43 * "A"):
        assert control.send("PUT", f"{bare}{guess}/latest/api/token", headers=ttl)[0] == 404


def test_no_other_user_reads_the_cloud_s_files(cloud: Cloud, key: KeyFile) -> None:
    cloud.run_with_machine(key)
    files = Files(cloud.home)
    assert files.folder.stat().st_mode & 0o077 == 0
    for file in (files.card, files.credentials, files.state):
        assert file.stat().st_mode & 0o077 == 0, file


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user, which root alone may do")
def test_what_another_user_put_there_is_not_used(tmp_path: Path) -> None:
    theirs = tmp_path / "embedded"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    with pytest.raises(Failure, match="belongs to another user"):
        daemon.start(tmp_path, POLICY)
    link = tmp_path / "link"
    link.symlink_to(theirs)
    with pytest.raises(Failure, match="belongs to another user"):
        make_private(link)
    os.chown(theirs, 0, 0)
    planted = theirs / "credentials.json"
    planted.write_text("{}")
    os.chown(planted, 65534, 65534)
    with pytest.raises(Failure, match=r"credentials\.json belongs to another user"):
        read_private(planted)
    with pytest.raises(Failure, match="belongs to another user"):
        daemon.start(tmp_path, POLICY)


# Instead of the daemon: it has the lock, and does not listen yet.
STARTING = """#!{python}
import fcntl, sys, time
with open(sys.argv[3] + "/embedded/daemon.lock", "ab") as life:
    fcntl.flock(life, fcntl.LOCK_EX)
    time.sleep(1)
"""


def test_a_program_at_the_port_of_before_gets_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's program that has taken the port would get what we send."""
    port = int(daemon.start(tmp_path, POLICY)["AWS_ENDPOINT_URL"].rpartition(":")[2])
    daemon.stop(tmp_path)
    starting = tmp_path / "starting"
    starting.write_text(STARTING.format(python=sys.executable))
    starting.chmod(0o700)
    with socket.socket() as other, monkeypatch.context() as patch:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        other.setblocking(False)
        patch.setattr(daemon.sys, "executable", str(starting))
        with pytest.raises(Failure, match="ended with status 0"):
            daemon.start(tmp_path, POLICY)
        with pytest.raises(BlockingIOError):
            other.accept()
    assert daemon.start(tmp_path, POLICY)["AWS_ENDPOINT_URL"].endswith(f":{port}")
    daemon.stop(tmp_path)


def _sign_as_of(ago: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore has two signers: its own, and the one it uses where awscrt is installed."""
    then = datetime.now(UTC) - ago
    for name in ("botocore.auth", "botocore.crt.auth") if HAS_CRT else ("botocore.auth",):
        monkeypatch.setattr(
            importlib.import_module(name),
            "get_current_datetime",
            lambda remove_tzinfo=True: then.replace(tzinfo=None) if remove_tzinfo else then,
        )
