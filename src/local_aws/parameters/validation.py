"""Checks the parameters of a call, by the rows and by its service's model.

Nothing here depends on the cloud's state.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from local_aws.api.calls import Call
from local_aws.parameters import service_model
from local_aws.parameters.launches import LAUNCHES
from local_aws.parameters.names import IDS, NAMES, TAGS
from local_aws.parameters.reads import POLICIES, READS
from local_aws.parameters.row import VOLUME, Refusal, Row
from local_aws.parameters.rules import RULES
from local_aws.parameters.service_model import Given, Unreadable
from local_aws.parameters.volumes import VOLUMES

ROWS = NAMES + TAGS + IDS + LAUNCHES + VOLUMES + RULES + READS + POLICIES


def refusal(call: Call) -> Refusal | None:
    """AWS's refusal of the call's parameters, with status 400; None if they are valid."""
    try:
        given = service_model.given(call)
    except Unreadable as error:
        code = "InvalidParameterValue" if call.service == "ec2" else "SerializationException"
        return code, f"A value is not of its parameter's type: {error}"
    if why := _by_rows(call, given):
        return why
    broken = [found for one in given for found in one.broken()]
    return _validation_error(call.service, broken) if broken and call.service != "ec2" else None


def refusal_of_volume(ebs: dict[str, Any]) -> Refusal | None:
    """ebs: an EbsBlockDevice with its size and type, from the request or the image."""
    rows = (row for row in VOLUMES if row.where == VOLUME)
    return next((row.refusal("", ebs) for row in rows if not row.takes(ebs)), None)


def covers(service: str, operation: str, path: str) -> bool:
    """Whether a row or the service's model checks the parameter."""
    if service_model.is_constrained(service_model.shape_at(service, operation, path)):
        return True
    return any(row.looks_at(operation, path) for row in ROWS)


@cache
def _rows(operation: str, path: str) -> tuple[Row, ...]:
    return tuple(row for row in ROWS if row.is_for(operation, path))


def _by_rows(call: Call, given: list[Given]) -> Refusal | None:
    for one in given:
        for row in _rows(call.operation, one.path):
            if not row.takes(one.value):
                return row.refusal(one.name, one.value)
        if call.service == "ec2":
            for shown, constraint, value in one.broken():
                return _ec2_refusal(one, shown, constraint, value)
    return None


def _ec2_refusal(one: Given, shown: str, constraint: str, value: Any) -> Refusal:
    """The code is documented; the message differs by parameter, and is this cloud's."""
    if value is None:
        missing = shown.rpartition(".")[2]
        return "MissingParameter", f"The request must contain the parameter {missing}"
    return "InvalidParameterValue", f"Value ({value}) for parameter {one.name} is invalid. {constraint}"


def _validation_error(service: str, broken: list[tuple[str, str, Any]]) -> Refusal:
    """IAM no longer repeats the value (reports of 2026); the other services do."""
    said = [
        ("Value null" if value is None else "Value" if service == "iam" else f"Value '{value}'")
        + f" at '{shown}' failed to satisfy constraint: {constraint}"
        for shown, constraint, value in broken
    ]
    errors = "error" if len(said) == 1 else "errors"
    code = "ValidationError" if service in ("iam", "sts") else "ValidationException"
    return code, f"{len(said)} validation {errors} detected: {'; '.join(said)}"
