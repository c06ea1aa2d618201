"""Requests for quota increases. They stay pending for ever.

Kept on the region's EC2 backend, since they are EC2's quotas: they are saved, restored and reset with it.
"""

import secrets
from typing import Any

from moto.ec2.models import ec2_backends


def keep(account: str, region: str, request: dict[str, Any]) -> dict[str, Any]:
    """Keep the request, and return it with its id."""
    made = {"Id": secrets.token_hex(16), **request}
    _requests(account, region).append(made)
    return made


def made(account: str, region: str, code: str) -> list[dict[str, Any]]:
    return [request for request in _requests(account, region) if request["QuotaCode"] == code]


def _requests(account: str, region: str) -> list[dict[str, Any]]:
    backend = ec2_backends[account][region]
    if not hasattr(backend, "quota_requests"):
        backend.quota_requests = []
    found: list[dict[str, Any]] = backend.quota_requests
    return found
