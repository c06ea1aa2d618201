"""A reduced EC2 service model and list of endpoints, because the SDK reads them at every start.

boto3 builds its client from a model of 760 operations, 7 MB of JSON, and a list of 300 services in each
partition. gpu-box calls only the operations in infra/operator-policy.json. What is left is written once for
each SDK release to the user's cache folder; if that fails, the SDK uses its own.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from gpu_box.files import write_whole
from gpu_box.resources import infra
from gpu_box.store.files import cache_home

Model = dict[str, Any]
# As the list of endpoints names them; those of sign-in too.
_SERVICES = (
    *("api.pricing", "ec2", "freetier", "iam", "oidc", "portal.sso", "scheduler", "servicequotas", "signin"),
    *("ssm", "sts"),
)


def use_small_model(session: Any) -> None:
    """session: botocore's, before it makes its first client."""
    import botocore

    policy = infra("operator-policy.json").read_text(encoding="utf-8")
    key = sha256(f"{botocore.__version__} {policy} {_SERVICES}".encode()).hexdigest()[:16]
    cache = cache_home()
    if cache is None:
        return  # the SDK's own files serve as well
    folder = cache / "models" / key
    if not (folder / "endpoints.json").exists():
        with suppress(OSError):
            _write(folder, session, set(_operations(policy)))
    own = session.get_config_variable("data_path")
    session.set_config_variable("data_path", os.pathsep.join([str(folder), *([own] if own else [])]))


def _write(folder: Path, session: Any, operations: set[str]) -> None:
    # A separate loader, because the session's would not include our folder.
    from botocore.loaders import Loader

    loader = Loader()
    version = loader.determine_latest_version("ec2", "service-2")
    whole = loader.load_service_model("ec2", "service-2", version)
    write_whole(folder / "ec2" / version / "service-2.json", json.dumps(reduced(whole, operations)))
    endpoints = loader.load_data("endpoints")
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in _SERVICES if name in services}
    write_whole(folder / "endpoints.json", json.dumps(endpoints))


def reduced(model: Model, operations: set[str]) -> Model:
    """The model with only these operations and the shapes that they need."""
    kept = {name: value for name, value in model["operations"].items() if name in operations}
    shapes: dict[str, Any] = {}
    wanted = [reference["shape"] for operation in kept.values() for reference in _references(operation)]
    while wanted:
        name = wanted.pop()
        if name not in shapes:
            shapes[name] = _without_words(model["shapes"][name])
            wanted += [reference["shape"] for reference in _references(shapes[name])]
    return {**model, "operations": {k: _without_words(v) for k, v in kept.items()}, "shapes": shapes}


def _references(value: Any) -> list[dict[str, str]]:
    """Every {"shape": NAME} in it, at any depth."""
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    if not isinstance(value, dict):
        return []
    own = [value] if isinstance(value.get("shape"), str) else []
    return own + [found for item in value.values() for found in _references(item)]


def _without_words(value: Any) -> Any:
    """Remove the documentation, which is half of the model."""
    if isinstance(value, dict):
        return {
            k: _without_words(v) for k, v in value.items() if k != "documentation" or not isinstance(v, str)
        }
    return [_without_words(item) for item in value] if isinstance(value, list) else value


def _operations(policy: str) -> list[str]:
    """The EC2 operations that the policy allows."""
    allowed: list[str] = []
    for statement in json.loads(policy)["Statement"]:
        actions = statement["Action"]
        allowed += [actions] if isinstance(actions, str) else actions
    return [action.removeprefix("ec2:") for action in allowed if action.startswith("ec2:")]
