"""moto's scheduler routes, with a complete UpdateSchedule."""

from __future__ import annotations

import json

from moto.scheduler.responses import EventBridgeSchedulerResponse
from moto.scheduler.urls import url_bases
from moto.scheduler.urls import url_paths as _paths

__all__ = ["url_bases", "url_paths"]


class SchedulerResponses(EventBridgeSchedulerResponse):  # type: ignore[misc]
    def update_schedule(self) -> str:
        """moto leaves out ActionAfterCompletion."""
        schedule = self.scheduler_backend.update_schedule(
            name=self.uri.split("?")[0].split("/")[-1],
            group_name=self._get_param("GroupName"),
            description=self._get_param("Description"),
            end_date=self._get_param("EndDate"),
            flexible_time_window=self._get_param("FlexibleTimeWindow"),
            kms_key_arn=self._get_param("KmsKeyArn"),
            schedule_expression=self._get_param("ScheduleExpression"),
            schedule_expression_timezone=self._get_param("ScheduleExpressionTimezone"),
            start_date=self._get_param("StartDate"),
            state=self._get_param("State"),
            target=self._get_param("Target"),
            action_after_completion=self._get_param("ActionAfterCompletion"),
        )
        return json.dumps({"ScheduleArn": schedule.arn})


url_paths = {path: SchedulerResponses.dispatch for path in _paths}
