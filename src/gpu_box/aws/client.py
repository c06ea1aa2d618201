"""One way to reach AWS: a session, lazily made clients, and reads side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from gpu_box.aws import slim_sdk
from gpu_box.aws.errors import CAPACITY_CODES, translated
from gpu_box.config.model import Config
from gpu_box.errors import InputError

# Attempts (AWS's "standard" mode, jittered backoff), seconds to connect, seconds to read: an API answer is
# small and quick. The second is for what nothing may wait for, a price: better unknown than late.
_PATIENT, _BRISK = (6, 5, 30), (1, 2, 4)
_MAX_PARALLEL = 12


class Cloud:
    """AWS as one config sees it: its profile, its region. Safe to use from several threads.

    Where it answers is the SDK's own business (AWS_ENDPOINT_URL): this code does not know an embedded cloud.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str, bool], Any] = {}

    @cached_property
    def _session(self) -> Any:
        import boto3
        import botocore.session

        with translated("reading your AWS profile"):
            core = botocore.session.get_session()
            slim_sdk.use_small_model(core)
            return boto3.Session(
                botocore_session=core, profile_name=self.config.profile, region_name=self.config.region
            )

    @cached_property
    def region(self) -> str:
        region = self._session.region_name
        if not region:
            raise InputError(
                "no AWS region is set",
                where="region",
                remedy="Set `region:` in config.yaml (`gpu-box init` does), or AWS_DEFAULT_REGION.",
            )
        # From the SDK's own data: no call is made for a name that AWS does not have.
        known = [
            name
            for partition in self._session.get_available_partitions()
            for name in self._session.get_available_regions("ec2", partition_name=partition)
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
        """The host and port that EC2 answers on: what tells one cloud from another."""
        return str(urlsplit(self.ec2.meta.endpoint_url).netloc)

    def elsewhere(self, region: str, *, box: str = "") -> Cloud:
        """The same account in another region, which AWS has named itself; `box`: for another box."""
        return self.sharing(replace(self.config, region=region, name=box or self.config.name), region=region)

    def sharing(self, config: Config, *, region: str = "") -> Cloud:
        """For another config of the same account; a session of its own would read the SDK's megabytes of
        service models once more.
        """
        other = Cloud(config)
        other.__dict__.update(_session=self._session, region=region or self.region)
        other._lock, other._clients = self._lock, self._clients
        return other

    def client(self, service: str, *, region: str = "", brisk: bool = False) -> Any:
        """region: another than the config's. brisk: one attempt, a few seconds, for what may stay unknown."""
        key = (service, region or self.region, brisk)
        # boto3's session is not thread-safe while it makes a client; a made client is.
        with self._lock:
            if key not in self._clients:
                from botocore.config import Config as BotoConfig

                attempts, connect_s, read_s = _BRISK if brisk else _PATIENT
                settings = BotoConfig(
                    retries={"mode": "standard", "total_max_attempts": attempts},
                    connect_timeout=connect_s,
                    read_timeout=read_s,
                    user_agent_extra="gpu-box",
                    max_pool_connections=_MAX_PARALLEL,
                )
                with translated("reaching AWS"):
                    made = self._session.client(service, region_name=key[1], config=settings)
                made.meta.events.register_first("needs-retry.ec2", _no_retry_for_capacity)
                self._clients[key] = made
            return self._clients[key]

    def make_clients(self, *services: str) -> list[Any]:
        return [self.client(service) for service in services]

    @property
    def ec2(self) -> Any:
        return self.client("ec2")


def _no_retry_for_capacity(response: Any, **_: Any) -> None:
    """EC2 answers a lack of capacity with HTTP 500, which the SDK would ask for again, half a minute long.

    Another zone, type or time may have some; the same request at once has not.
    """
    if response is None:
        return  # a connection that broke: that is to be tried again
    http_response, parsed = response
    if parsed.get("Error", {}).get("Code") in CAPACITY_CODES:
        http_response.status_code = 400


def side_by_side(*calls: Callable[[], Any]) -> list[Any]:
    """Run independent calls at once; results in order. The first failure, in order, is raised at the end."""
    if len(calls) < 2:
        return [call() for call in calls]
    with ThreadPoolExecutor(max_workers=min(len(calls), _MAX_PARALLEL)) as pool:
        futures = [pool.submit(call) for call in calls]
    return [future.result() for future in futures]
