"""Parts of PyTorch beyond its documentation that vgg16 uses: a failure names what an upgrade changed."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed.elastic.agent.server.api import SimpleElasticAgent
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.launcher import api

from vgg16.device.speed import Compiled, lacking
from vgg16.train import Portions

TORCH = f"torch {torch.__version__}"


def test_a_network_that_cannot_be_compiled_trains_as_it_is_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no C compiler")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    net, inputs, said = nn.Linear(2, 2), torch.ones(1, 2), list[str]()
    compiled = Compiled(net, Portions(said.append))
    assert torch.equal(compiled(inputs), net(inputs)) and torch.equal(compiled(inputs), net(inputs))
    (line,) = said
    assert line.startswith("not compiled (") and "no C compiler" in line


def test_out_of_memory_in_a_compiled_network_is_no_reason_to_leave_compiling_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "compile", lambda net: full)
    with pytest.raises(torch.OutOfMemoryError):
        Compiled(nn.Linear(2, 2), Portions(pytest.fail))(torch.ones(1, 2))


def test_what_compiling_needs_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lacking() == "no C compiler: sudo apt-get install gcc libc6-dev"
    monkeypatch.setenv("CC", "cc")
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    version = ".".join(map(str, sys.version_info[:2]))
    assert lacking() == f"no headers of Python: sudo apt-get install python{version}-dev"
    (tmp_path / "Python.h").touch()
    assert lacking() == ""


def test_torchrun_asks_our_agent_whether_to_begin_again() -> None:
    where = "which vgg16/launch.py needs to end a training that a restart cannot cure"
    assert hasattr(LocalElasticAgent, "_monitor_workers"), f"{TORCH} has no _monitor_workers, {where}"
    read = SimpleElasticAgent._invoke_run.__code__.co_names
    for name in ("_monitor_workers", "_remaining_restarts"):
        assert name in read, f"{TORCH}: torchrun's loop no longer reads {name}, {where}"
    used = api.launch_agent.__wrapped__ if hasattr(api.launch_agent, "__wrapped__") else api.launch_agent
    assert "LocalElasticAgent" in used.__code__.co_names, (
        f"{TORCH}: launcher.api no longer makes a LocalElasticAgent by that name, {where}"
    )
