"""An error, for the one who reads it: what, where, what to do."""

from __future__ import annotations

import json
import sys

from gpu_box.errors import ConfigError, GpuBoxError


def print_error(error: GpuBoxError, *, as_json: bool = False) -> None:
    """To standard error; with as_json, one object to standard output."""
    if as_json:
        print(json.dumps({"error": describe(error)}))
        return
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr)


def describe(error: GpuBoxError) -> dict[str, object]:
    """kind, what, where, remedy, exit_code; `problems` for a config file."""
    told: dict[str, object] = {
        "kind": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "remedy": error.remedy,
        "exit_code": error.exit_code,
    }
    if isinstance(error, ConfigError):
        told["problems"] = list(error.problems)
    return told
