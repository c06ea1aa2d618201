"""Every parameter that gpu-box sends to AWS is one that the embedded cloud checks as AWS does.

The story makes every call that infra/operator-policy.json and operator-roles.json permit. What a walk's other
commands send is held to the same in test_walk.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from local_aws.parameters import service_model, validation
from tests.paths import POLICY

from ..local_aws.api.wire import as_call
from .faults import Sent
from .sent import leaves, unchecked
from .stage import Stage
from .story import by_an_expert, looks_around

COMMANDS = (
    "up with a larger disk", "up of spot", "resize of stopped", "extend", "bake over an older one", "move",
    "up in a cluster", "down of a cluster", "down of spot", "down with an image",
)  # fmt: skip
# No calls of gpu-box's own: others pass the role and make the service-linked one, and
# the tags go with CreateRole.
NO_CALLS = {"iam:PassRole", "iam:CreateServiceLinkedRole", "iam:TagRole"}


@pytest.fixture(scope="module")
def sent(one_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Sent]]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in one_stage.exports(tmp_path_factory.mktemp("laptop")).items():
            patch.setenv(name, value)
        requests = [one for name in COMMANDS for one in one_stage.undisturbed_run(name).sent]
        requests += by_an_expert(one_stage).sent + looks_around(one_stage).sent
        yield requests


def test_the_story_makes_every_call_that_the_policy_permits(sent: list[Sent]) -> None:
    allowed: set[str] = set()
    for statement in (
        s for file in POLICY for s in json.loads(file.read_text(encoding="utf-8"))["Statement"]
    ):
        actions = statement["Action"]
        allowed |= {actions} if isinstance(actions, str) else set(actions)
    made = {f"{service.replace('-', '')}:{operation}" for service, operation, _ in sent}
    assert allowed - NO_CALLS == made - {"sts:GetCallerIdentity"}


def test_a_row_or_a_service_model_covers_every_parameter(sent: list[Sent]) -> None:
    assert unchecked(sent) == set()


def test_what_a_service_model_says_of_a_parameter_is_held_to(sent: list[Sent]) -> None:
    """Each parameter whose model has a limit, broken in a request that was sent."""
    tried: set[tuple[str, str, str]] = set()
    taken: list[tuple[str, str, str]] = []
    for service, operation, given in sent:
        for path, at in leaves(given, ()):
            parameter = (service, operation, path)
            wrong = _beyond(service_model.shape_at(*parameter))
            if wrong is None or parameter in tried:
                continue
            tried.add(parameter)
            request = deepcopy(given)
            inner: Any = request
            for key in at[:-1]:
                inner = inner[key]
            inner[at[-1]] = wrong
            if validation.refusal(as_call(service, operation, request)) is None:
                taken.append(parameter)
    assert taken == []
    assert len(tried) > 50


def _beyond(shape: Any) -> Any:
    """A value that the model does not take; None if it takes any."""
    limits = shape.metadata
    if "enum" in limits:
        return "no-such-value"
    if "pattern" in limits:
        return "\u2603"
    if "max" not in limits:
        return None
    most = int(limits["max"])
    return "x" * (most + 1) if shape.type_name == "string" else most + 1
