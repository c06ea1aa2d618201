"""One way to reach AWS: a session, lazily made clients, and reads side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from gpu_box.aws import slim_sdk
from gpu_box.aws.errors import CAPACITY_CODES, translated
from gpu_box.aws.made import Made
from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.store.files import file_of_box

# Attempts (AWS's "standard" mode, jittered backoff), seconds to connect, seconds to read: an API answer is
# small and quick. The second is for what nothing may wait for, a price: better unknown than late.
_PATIENT, _BRISK = (6, 5, 30), (1, 2, 4)
_MAX_PARALLEL = 12
MEANWHILE = True  # False: nothing is made ready while AWS answers
_QUESTIONS_OUT_S = 0.05  # until they have left, with a client that is made already
_T = TypeVar("_T")


class _Clients:
    """The SDK's session of one profile, and the clients made from it. Safe to use from several threads."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str, bool], Any] = {}
        self.made = Made()

    @cached_property
    def session(self) -> Any:
        import boto3
        import botocore.session

        with translated("reading your AWS profile"):
            core = botocore.session.get_session()
            slim_sdk.use_small_model(core)
            return boto3.Session(
                botocore_session=core, profile_name=self._config.profile, region_name=self._config.region
            )

    def get(self, service: str, region: str, *, brisk: bool) -> Any:
        key = (service, region, brisk)
        # boto3's session is not thread-safe while it makes a client; a made client is.
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._make(service, region, brisk=brisk)
            return self._clients[key]

    def forget(self) -> None:
        with self._lock:
            self._clients.clear()
            self.__dict__.pop("session", None)

    def _make(self, service: str, region: str, *, brisk: bool) -> Any:
        import botocore.config

        attempts, connect_s, read_s = _BRISK if brisk else _PATIENT
        settings = botocore.config.Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=connect_s,
            read_timeout=read_s,
            user_agent_extra="gpu-box",
            max_pool_connections=_MAX_PARALLEL,
        )
        with translated("reaching AWS"):
            client = self.session.client(service, region_name=region, config=settings)
        client.meta.events.register_first("needs-retry.ec2", _raise_if_no_capacity)
        if service == "ec2":
            self.made.follow(client)
        return client


class Cloud:
    """AWS as one config sees it: its profile, its region. Safe to use from several threads.

    The SDK alone knows the endpoint (AWS_ENDPOINT_URL): this code does not know an embedded cloud.
    """

    def __init__(self, config: Config, *, region: str = "", clients: _Clients | None = None) -> None:
        """region: one that AWS is known to have. clients: those of another Cloud of the same account."""
        self.config = config
        self._valid_region = region
        self._clients = clients or _Clients(config)

    @cached_property
    def region(self) -> str:
        if self._valid_region:
            return self._valid_region
        session = self._clients.session
        region = self.config.region or session.region_name
        if not region:
            raise InputError(
                "no AWS region is set",
                where="region",
                remedy="Set `region:` in config.yaml (`gpu-box init` does), or AWS_DEFAULT_REGION.",
            )
        # From the SDK's own data: a name that AWS does not have makes no call.
        known = [
            name
            for partition in session.get_available_partitions()
            for name in session.get_available_regions("ec2", partition_name=partition)
        ]
        if region not in known:
            near = get_close_matches(region, known, n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise InputError(
                f"AWS has no region {region!r}",
                where="region",
                remedy=f"Choose one such as us-east-1 or eu-west-1.{meant}",
            )
        return str(region)

    @property
    def host(self) -> str:
        """The host and port that EC2 answers on, which differ from cloud to cloud."""
        return str(urlsplit(self.ec2.meta.endpoint_url).netloc)

    @property
    def made(self) -> Made:
        return self._clients.made

    @property
    def box(self) -> str:
        """A name for the box and its region."""
        return f"{self.region}/{self.config.name}"

    def elsewhere(self, region: str, *, box: str = "") -> Cloud:
        """The same account in another region, which AWS has named itself; `box`: for another box."""
        config = replace(self.config, region=region, name=box or self.config.name)
        return Cloud(config, region=region, clients=self._clients)

    def sharing(self, config: Config) -> Cloud:
        """For another config of the same account. A new session would read the SDK's megabytes of service
        models once more.
        """
        same = config.region == self.config.region
        return Cloud(config, region=self.region if same else "", clients=self._clients)

    def client(self, service: str, *, region: str = "", brisk: bool = False) -> Any:
        """region: another than the config's. brisk: one attempt, a few seconds, for what may stay unknown."""
        return self._clients.get(service, region or self.region, brisk=brisk)

    def is_offered(self, service: str) -> bool:
        """Whether AWS has this service in the region, by the SDK's own data, which may lag behind."""
        session = self._clients.session
        partition = session.get_partition_for_region(self.region)
        return self.region in session.get_available_regions(service, partition_name=partition)

    def memory(self, kind: str) -> Path:
        """This laptop's file of that kind about the config's box in this cloud."""
        config = self.config
        return file_of_box(kind, cloud=self.host, profile=config.profile, region=self.region, box=config.name)

    def make_clients(self, *services: str) -> list[Any]:
        return [self.client(service) for service in services]

    def forget_credentials(self) -> None:
        """Read them again for the next call: what lasts for hours, as a tunnel, outlives temporary ones."""
        self._clients.forget()

    @property
    def ec2(self) -> Any:
        return self.client("ec2")


def _raise_if_no_capacity(response: Any, operation: Any, **_: Any) -> None:
    """Raise EC2's lack of capacity at once: it is an HTTP 500, which the SDK retries for half a minute.

    Another zone, type or time may have capacity; the same request at once has not. A handler of botocore's
    `needs-retry` event can only ask for a retry, not forbid one, but its exception ends the call.
    response: (HTTP response, parsed), or None if the connection broke. operation: botocore's model of it.
    """
    parsed = response[1] if response else {}
    if parsed.get("Error", {}).get("Code") in CAPACITY_CODES:
        raise ClientError(parsed, operation.name)


def meanwhile(cloud: Cloud, ask: Callable[[], _T], get_ready: Callable[[], object]) -> _T:
    """The answer of `ask`, which asks AWS; `get_ready` runs once the questions are out.

    get_ready: takes processor time, and is repeated by whatever needs it if it did not run.
    """
    if not MEANWHILE:
        return ask()
    cloud.make_clients("ec2")

    def later() -> None:
        time.sleep(_QUESTIONS_OUT_S)
        get_ready()

    answer: _T = side_by_side(ask, later)[0]
    return answer


def side_by_side(*calls: Callable[[], Any]) -> list[Any]:
    """Run independent calls at once; results in order. The first failure, in order, is raised at the end."""
    if len(calls) < 2:
        return [call() for call in calls]
    with ThreadPoolExecutor(max_workers=min(len(calls), _MAX_PARALLEL)) as pool:
        futures = [pool.submit(call) for call in calls]
    return [future.result() for future in futures]
