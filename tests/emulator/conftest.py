"""gpu-box against ministack: the same clients, with ministack's known faults mended on the way."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from gpu_box.aws import client as aws_client

from . import ministack
from .excuses import EXCUSES

NOWHERE = "127.9.9.9"  # nothing answers SSH there; ministack's addresses are of the internet
_PATIENT = Config(read_timeout=120, retries={"total_max_attempts": 1})
_WRITES = (
    "Create",
    "Delete",
    "Put",
    "Update",
    "Run",
    "Start",
    "Stop",
    "Terminate",
    "Import",
    "Authorize",
    "Modify",
)


class Followed:
    """What every client of gpu-box asks and is answered, and which excuses were needed."""

    def __init__(self, endpoint: str) -> None:
        self.needed: set[str] = set()
        self.calls: Counter[str] = Counter()
        session = boto3.Session("test", "test", region_name="us-east-1")
        self._raw, iam, scheduler = (
            session.client(service, endpoint_url=endpoint) for service in ("ec2", "iam", "scheduler")
        )
        # A service is loaded at its first request, for seconds on a busy machine; that of a service that it
        # does not know loads S3.
        self._raw.describe_instances()
        iam.list_roles()
        scheduler.list_schedules()
        with suppress(ClientError):
            session.client("pricing", endpoint_url=endpoint, config=_PATIENT).get_products(
                ServiceCode="AmazonEC2"
            )
        self._lock = threading.Lock()

    def follow(self, client: Any) -> None:
        client.meta.events.register("before-parameter-build", self._note)
        client.meta.events.register("after-call", self._mend)

    @property
    def writes(self) -> Counter[str]:
        return Counter(
            {call: n for call, n in self.calls.items() if call.partition(".")[2].startswith(_WRITES)}
        )

    def _note(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params

    def _mend(self, http_response: Any, parsed: Any, model: Any, context: dict[str, Any], **_: Any) -> None:
        call = f"{model.service_model.service_name}.{model.name}"
        with self._lock:
            self.calls[call] += 1
            for excuse in EXCUSES:
                here = excuse.call == call and context["client_region"] == "us-east-1"
                if here and excuse.mend(context["asked"], parsed, self._raw):
                    self.needed.add(str(excuse))
        if "Error" not in parsed:
            http_response.status_code = 200
        for reservation in [parsed, *parsed.get("Reservations", [])]:
            for instance in reservation.get("Instances", []):
                if instance.get("PublicIpAddress"):
                    instance["PublicIpAddress"] = NOWHERE


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ministack.running(tmp_path_factory.mktemp("ministack")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def followed(emulator: str) -> Followed:
    return Followed(emulator)


@pytest.fixture(autouse=True)
def _in_the_emulator(emulator: str, followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    make = aws_client._Clients._make

    def followed_one(self: Any, service: str, region: str, *, brisk: bool) -> Any:
        client = make(self, service, region, brisk=brisk)
        followed.follow(client)
        return client

    monkeypatch.setattr(aws_client._Clients, "_make", followed_one)
