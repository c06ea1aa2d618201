"""One way to reach AWS: a session, lazily made clients, and reads side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from gpu_box.aws.errors import translated
from gpu_box.config import Config
from gpu_box.errors import InputError

# Retries: AWS's "standard" mode (jittered backoff). Times in seconds: an API answer is small and quick.
_ATTEMPTS, _CONNECT_S, _READ_S = 5, 5, 30
_MAX_PARALLEL = 12


class Cloud:
    """AWS as one config sees it: its profile, its region. Safe to use from several threads.

    Where it answers is the SDK's own business (AWS_ENDPOINT_URL): this code does not know an embedded cloud.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    @cached_property
    def _session(self) -> Any:
        import boto3

        with translated("reading your AWS profile"):
            return boto3.Session(profile_name=self.config.profile, region_name=self.config.region)

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

    def client(self, service: str) -> Any:
        # boto3's session is not thread-safe while it makes a client; a made client is.
        with self._lock:
            if service not in self._clients:
                from botocore.config import Config as BotoConfig

                settings = BotoConfig(
                    retries={"mode": "standard", "max_attempts": _ATTEMPTS},
                    connect_timeout=_CONNECT_S,
                    read_timeout=_READ_S,
                    user_agent_extra="gpu-box",
                    max_pool_connections=_MAX_PARALLEL,
                )
                with translated("reaching AWS"):
                    self._clients[service] = self._session.client(
                        service, region_name=self.region, config=settings
                    )
            return self._clients[service]

    @property
    def ec2(self) -> Any:
        return self.client("ec2")


def side_by_side(*calls: Callable[[], Any]) -> list[Any]:
    """Run independent calls at once; results in order. The first failure, in order, is raised at the end."""
    if len(calls) == 1:
        return [calls[0]()]
    with ThreadPoolExecutor(max_workers=min(len(calls), _MAX_PARALLEL)) as pool:
        futures = [pool.submit(call) for call in calls]
    return [future.result() for future in futures]
