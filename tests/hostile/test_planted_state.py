"""State that an attacker planted for the embedded cloud: it makes the cloud's objects, and calls nothing."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local_aws import state
from local_aws.failure import Failure
from local_aws.faults import Weather


class Calls:
    """What is called while it is loaded, with what."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._made = function, arguments

    def __reduce__(self) -> Any:
        return self._made


def named(module: str, name: str) -> bytes:
    """Protocol 4 looks a dotted name up, attribute by attribute."""
    words = b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name))
    return b"\x80\x04" + words + b"\x93\x8c\x02id\x85R."


PLANTED = {
    "os.system": pickle.dumps(Calls(os.system, "touch pwned")),
    "eval": pickle.dumps(Calls(eval, "1")),
    "open": pickle.dumps(Calls(open, os.devnull)),
    "getattr": pickle.dumps(Calls(getattr, {}, "get")),
    "a module of ours by a dotted name": named("local_aws.state", "pickle.loads"),
    "a function of ours": named("local_aws.state", "load"),
    "a function of moto's": named("moto.core.utils", "get_equivalent_url_in_aws_domain"),
    "what a module of ours imports": named("local_aws.files", "os"),
    "a class that a module of ours imports": named("local_aws.files", "Path"),
    "subprocess": named("subprocess", "Popen"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_state_calls_nothing(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError):
        state.load(PLANTED[what])
    assert not (tmp_path / "pwned").exists()


def test_what_the_cloud_keeps_is_read_again() -> None:
    from moto.ec2.models import ec2_backends

    backend = ec2_backends["123456789012"]["us-east-1"]
    kept = {"ec2": {"123456789012": {"us-east-1": backend}}}
    other = OrderedDict(at=datetime.now(UTC), names={"a"}, some=frozenset())
    found, then, odd = state._Unpickler(_file(pickle.dumps((kept, Weather(), other)))).load()
    assert type(found["ec2"]["123456789012"]["us-east-1"]) is type(backend)
    assert isinstance(then, Weather)
    assert odd == other


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it gives a file away")
def test_a_state_of_another_user_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(PLANTED["eval"])
    os.chown(path, 1, 1)
    with pytest.raises(Failure, match="belongs to another user"):
        state.State(path).restore()


def test_a_state_that_others_could_write_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(PLANTED["eval"])
    path.chmod(0o666)
    with pytest.raises(Failure, match="can be written by others"):
        state.State(path).restore()


def _file(content: bytes) -> Any:
    import io

    return io.BytesIO(content)
