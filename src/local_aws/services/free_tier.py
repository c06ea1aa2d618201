"""AWS Free Tier: the account's plan. moto lacks the service."""

from __future__ import annotations

import json

from moto.core.responses import BaseResponse

from local_aws.faults import weather


class FreeTierResponses(BaseResponse):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(service_name="freetier")

    def get_account_plan_state(self) -> str:
        """The answer for an active plan (Free Tier API reference, GetAccountPlanState)."""
        return json.dumps(
            {
                "accountId": self.current_account,
                "accountPlanType": weather().plan,
                "accountPlanStatus": "ACTIVE",
                "accountPlanRemainingCredits": {"amount": 100.0, "unit": "USD"},
                "accountPlanExpirationDate": "2027-05-01T00:00:00Z",
            }
        )
