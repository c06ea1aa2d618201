"""Access to AWS: one session, clients made when needed, and parallel reads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from gpu_box.aws import answers, slim_sdk, throttled
from gpu_box.aws.early import Connections
from gpu_box.aws.made import Made
from gpu_box.aws.refusals import CAPACITY_CODES
from gpu_box.aws.sign_in import AskCode, SignIn, understood
from gpu_box.config.model import Config
from gpu_box.errors import InputError
from gpu_box.nearest import meant
from gpu_box.store.files import file_of_box

# Attempts (AWS's "standard" mode with jittered backoff), seconds to connect, seconds for a read, and for a
# whole answer. The second set is for prices, which are better unknown than late.
_PATIENT, _BRISK = (6, 5, 30, 90), (1, 2, 4, 10)
_MAX_PARALLEL = 12
_PARTITIONS = ("aws", "aws-us-gov")  # in which prices are in US dollars
MEANWHILE = True  # False: prepare nothing while AWS answers
_REQUESTS_OUT_S = 0.05  # time for the requests to leave, if the client exists already
_T = TypeVar("_T")


class _Clients:
    """The SDK's session for one profile, and its clients. Thread-safe."""

    def __init__(self, config: Config, ask_code: AskCode | None, connections: Connections | None) -> None:
        self._config = config
        self._connections = connections
        self._ask_code = ask_code
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str, bool], Any] = {}
        self.made = Made()

    @cached_property
    def session(self) -> Any:
        return self._signed_in[0]

    @cached_property
    def _signed_in(self) -> tuple[Any, SignIn]:
        import boto3
        import botocore.session

        core = botocore.session.get_session()
        with understood(core):
            core.register_component("response_parser_factory", answers.Parsers())
            slim_sdk.use_small_model(core)
            # For the clients that the SDK makes by itself, to get or renew credentials.
            _, connect_s, read_s, answer_s = _PATIENT
            core.set_default_client_config(_settings(connect_timeout=connect_s, read_timeout=read_s))
            answers.bound_clients(core, answer_s, self._connections)
            # AWS_REGION as for the `aws` client, which the SDK itself does not read.
            region = self._config.region or os.environ.get("AWS_REGION") or None
            session = boto3.Session(
                botocore_session=core, profile_name=self._config.profile, region_name=region
            )
            sign_in = SignIn(core, region=session.region_name, ask_code=self._ask_code, answer_s=_BRISK[3])
            return session, sign_in

    def get(self, service: str, region: str, *, brisk: bool) -> Any:
        key = (service, region, brisk)
        # boto3's session is not thread-safe while it makes a client; a finished client is.
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._make(service, region, brisk=brisk)
            return self._clients[key]

    def forget(self) -> None:
        with self._lock:
            self._clients.clear()
            for name in ("session", "_signed_in"):
                self.__dict__.pop(name, None)

    def _make(self, service: str, region: str, *, brisk: bool) -> Any:
        attempts, connect_s, read_s, answer_s = _BRISK if brisk else _PATIENT
        settings = _settings(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=connect_s,
            read_timeout=read_s,
            max_pool_connections=_MAX_PARALLEL,
        )
        session, sign_in = self._signed_in
        with understood(sign_in.core):
            client = session.client(service, region_name=region, config=settings)
        sign_in.before_requests_of(client)
        answers.bound(client, answer_s)
        client.meta.events.register_first("needs-retry.ec2", _raise_if_no_capacity)
        if not brisk:
            throttled.be_patient(client)
        if service == "ec2":
            self.made.follow(client)
        return client


def _settings(**values: Any) -> Any:
    import botocore.config

    return botocore.config.Config(user_agent_extra="gpu-box", **values)


class Cloud:
    """AWS for one config: its profile and region. Thread-safe.

    Only the SDK knows the endpoint (AWS_ENDPOINT_URL); this code does not know about the embedded cloud.
    """

    def __init__(
        self,
        config: Config,
        *,
        region: str = "",
        ask_code: AskCode | None = None,
        clients: _Clients | None = None,
        connections: Connections | None = None,
    ) -> None:
        """region: one that is known to exist. ask_code: asks the user for an MFA code.

        clients: those of another Cloud of the same account. connections: those that were opened before.
        """
        self.config = config
        self._valid_region = region
        self._clients = clients or _Clients(config, ask_code, connections)

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
                remedy="Set `region:` in config.yaml (`gpu-box init` does), or AWS_REGION.",
            )
        # From the SDK's own data, so that an unknown name makes no request.
        known = [
            name
            for partition in session.get_available_partitions()
            for name in session.get_available_regions("ec2", partition_name=partition)
        ]
        if region not in known:
            raise InputError(
                f"AWS has no region {region!r}",
                where="region",
                remedy=f"Choose one such as us-east-1 or eu-west-1.{meant(region, known)}",
            )
        if (partition := session.get_partition_for_region(region)) not in _PARTITIONS:
            # Prices, budgets and the sum of a month are in US dollars.
            raise InputError(
                f"gpu-box does not work in {region}: AWS's partition {partition} has prices of its own",
                where="region",
                remedy="Choose a region of AWS's global or GovCloud partition, such as us-east-1.",
            )
        return str(region)

    @cached_property
    def partition(self) -> str:
        """The partition in ARNs of the region: aws, aws-us-gov."""
        return str(self._clients.session.get_partition_for_region(self.region))

    @property
    def host(self) -> str:
        """EC2's host and port, which identify the cloud."""
        return str(urlsplit(self.ec2.meta.endpoint_url).netloc)

    @property
    def made(self) -> Made:
        return self._clients.made

    @property
    def box(self) -> str:
        """Identifies the box and its region."""
        return f"{self.region}/{self.config.name}"

    def elsewhere(self, region: str, *, box: str = "") -> Cloud:
        """The same account in another existing region; `box`: another box."""
        config = replace(self.config, region=region, name=box or self.config.name)
        return Cloud(config, region=region, clients=self._clients)

    def sharing(self, config: Config) -> Cloud:
        """The same account with another config, without reading megabytes of service models again."""
        same = config.region == self.config.region
        return Cloud(config, region=self.region if same else "", clients=self._clients)

    def client(self, service: str, *, region: str = "", brisk: bool = False) -> Any:
        """region: instead of the config's. brisk: one attempt of a few seconds, for optional data."""
        return self._clients.get(service, region or self.region, brisk=brisk)

    def is_offered(self, service: str) -> bool:
        """Whether AWS offers the service in the region, by the SDK's own data, which may be outdated."""
        session = self._clients.session
        partition = session.get_partition_for_region(self.region)
        return self.region in session.get_available_regions(service, partition_name=partition)

    def memory(self, kind: str) -> Path:
        """This laptop's file of that kind for the config's box in this cloud."""
        config = self.config
        return file_of_box(kind, cloud=self.host, profile=config.profile, region=self.region, box=config.name)

    def make_clients(self, *services: str) -> list[Any]:
        return [self.client(service) for service in services]

    def forget_credentials(self) -> None:
        """Read credentials again for the next call: a tunnel may outlive temporary credentials."""
        self._clients.forget()

    @property
    def ec2(self) -> Any:
        return self.client("ec2")


def _raise_if_no_capacity(response: Any, operation: Any, **_: Any) -> None:
    """Report EC2's lack of capacity at once: it is an HTTP 500, which the SDK would retry for half a minute.

    Another zone, type or time may have capacity; the same request now has not. A handler of botocore's
    `needs-retry` event can only request a retry, not forbid one, but its exception ends the call. response:
    (HTTP response, parsed), or None if the connection broke. operation: botocore's model of it.
    """
    parsed = response[1] if response else {}
    if parsed.get("Error", {}).get("Code") in CAPACITY_CODES:
        raise ClientError(parsed, operation.name)


def meanwhile(cloud: Cloud, ask: Callable[[], _T], get_ready: Callable[[], object]) -> _T:
    """The result of `ask`, which asks AWS; `get_ready` runs once the requests have left.

    get_ready: takes CPU time; anything that needs its effect repeats it.
    """
    if not MEANWHILE:
        return ask()
    cloud.make_clients("ec2")

    def later() -> None:
        time.sleep(_REQUESTS_OUT_S)
        get_ready()

    answer: _T = side_by_side(ask, later)[0]
    return answer


def side_by_side(*calls: Callable[[], Any]) -> list[Any]:
    """Run independent calls in parallel; results in order. Raises the first failure, in order, at the end."""
    if len(calls) < 2:
        return [call() for call in calls]
    try:
        with ThreadPoolExecutor(max_workers=min(len(calls), _MAX_PARALLEL)) as pool:
            futures = [pool.submit(call) for call in calls]
        return [future.result() for future in futures]
    except KeyboardInterrupt:
        throttled.give_up()
        raise
