"""Service Quotas for EC2's vCPU quotas, as the weather sets them. moto knows only the VPC's.

Requests for increases stay pending for ever. They are kept on the region's EC2 backend, since they are EC2's
quotas: they are saved, restored and reset with it.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import BaseResponse
from moto.ec2.models import ec2_backends

from local_aws.ec2.capacity import QUOTAS, Quota
from local_aws.faults import weather

_SERVICE = "ec2"


class QuotaResponses(BaseResponse):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(service_name="service-quotas")

    def get_service_quota(self) -> str:
        return json.dumps({"Quota": self._describe(self._asked())})

    def list_service_quotas(self) -> str:
        self._check_service()
        return json.dumps({"Quotas": [self._describe(q) for q in QUOTAS]})

    def request_service_quota_increase(self) -> str:
        """Answered as AWS does: pending, for ever."""
        quota = self._asked()
        wanted = float(self._get_param("DesiredValue"))
        if wanted <= weather().quotas.get(quota.code, 0):
            raise JsonRESTError(
                "IllegalArgumentException",
                "You must provide a quota value greater than the current quota value",
            )
        if self._made(quota):
            raise JsonRESTError(
                "ResourceAlreadyExistsException",
                "Only one open service quota increase request is allowed per quota.",
            )
        request = {
            "Id": secrets.token_hex(16),
            "ServiceCode": _SERVICE,
            "QuotaCode": quota.code,
            "QuotaName": quota.name,
            "DesiredValue": wanted,
            "Status": "PENDING",
        }
        self._requests().append(request)
        return json.dumps({"RequestedQuota": request})

    def list_requested_service_quota_change_history_by_quota(self) -> str:
        return json.dumps({"RequestedQuotas": self._made(self._asked())})

    def _made(self, quota: Quota) -> list[dict[str, Any]]:
        return [request for request in self._requests() if request["QuotaCode"] == quota.code]

    def _requests(self) -> list[dict[str, Any]]:
        backend = ec2_backends[self.current_account][self.region]
        if not hasattr(backend, "quota_requests"):
            backend.quota_requests = []
        found: list[dict[str, Any]] = backend.quota_requests
        return found

    def _asked(self) -> Quota:
        self._check_service()
        code = self._get_param("QuotaCode")
        for quota in QUOTAS:
            if quota.code == code:
                return quota
        raise JsonRESTError(
            "NoSuchResourceException", f"The request failed because the quota {code} does not exist."
        )

    def _check_service(self) -> None:
        if self._get_param("ServiceCode") != _SERVICE:
            raise JsonRESTError(
                "NoSuchResourceException",
                "This service is not available in the current Region. Choose a different Region or a "
                "different service.",
            )

    def _describe(self, quota: Quota) -> dict[str, Any]:
        arn = (
            f"arn:{self.partition}:servicequotas:{self.region}:{self.current_account}:{_SERVICE}/{quota.code}"
        )
        return {
            "ServiceCode": _SERVICE,
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
            "QuotaArn": arn,
            "QuotaCode": quota.code,
            "QuotaName": quota.name,
            "Value": float(weather().quotas.get(quota.code, 0)),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }
